"""How the commands print their results: lines for a person, or JSON."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_result(rows: Iterable[Any], as_json: bool, line: Callable[[Any], str]) -> None:
    """Prints `rows` as one JSON document, or each as the text that `line` makes of it."""
    if as_json:
        click.echo(json.dumps(rows if isinstance(rows, dict) else list(rows), indent=2))
        return
    for row in rows.items() if isinstance(rows, dict) else rows:
        click.echo(line(row))
