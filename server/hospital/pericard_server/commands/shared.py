"""What the commands share: times of the command line, and results as lines for a person or as JSON."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quarantined_option = click.option(
    "--quarantined", is_flag=True, help="Also what came while its device was lost; the access log says so."
)


def print_result(rows: Iterable[Any], as_json: bool, line: Callable[[Any], str]) -> None:
    """Prints `rows` as one JSON document, or each as the text that `line` makes of it."""
    if as_json:
        click.echo(json.dumps(rows if isinstance(rows, dict) else list(rows), indent=2))
        return
    for row in rows.items() if isinstance(rows, dict) else rows:
        click.echo(line(row))


def microseconds(moment: datetime | None, default: int) -> int:
    """A moment of the command line (UTC) as Unix microseconds; `default` where none was given."""
    return default if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1e6)


def shown_time(at_us: int) -> str:
    """A time in Unix microseconds for a person and for programs: ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")
