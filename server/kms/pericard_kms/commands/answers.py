"""What every command that asks the KMS shares: the call, and how an answer is printed."""

import json
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def call(
    context: click.Context, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One request to the KMS that the command line names."""
    with context.obj() as client:
        answer: dict[str, Any] = client.call(method, path, body)
        return answer


def show(answer: dict[str, Any], as_json: bool) -> None:
    """Prints an answer: as JSON, or a line per field."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    for name, value in answer.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            for item in value:
                click.echo(item if name == "keys" else f"{name}: {item}")
        else:
            click.echo(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")
