"""What every benchmark shares: its options, runs by turns, medians, its report and how that is printed.

A report is one JSON object: `name`, `machine`, `runs` (how many were counted), then the benchmark's own
figures. A figure that could not be measured is null and has a `why` beside it: it is never left out, so that
whoever compares reports finds the same keys in each.
"""

import functools
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from pericard_protocol.errors import PericardError
from pericard_tools.bench.machine import machine

T = TypeVar("T")


class BenchFailed(PericardError):
    """What was to be measured did not do what it should, so its time says nothing."""


@dataclass(frozen=True)
class Measured:
    """What a benchmark found.

    Args:
        runs: how many runs were counted; every figure is a median over them unless its name says otherwise.
        figures: the benchmark's own keys of the report.
        peers: versions of what was compared and is no Python distribution, by name; None: not installed.
    """

    runs: int
    figures: dict[str, Any]
    peers: dict[str, str | None] = field(default_factory=dict)


def benchmark(name: str, *libraries: str) -> Callable[[Callable[..., Measured]], click.Command]:
    """Makes the command `pericard bench NAME` of a function that measures; its docstring is the help.

    The function is given `quick` and the options that click's decorators below this one add.

    Args:
        name: the command's, and the report's.
        libraries: distributions whose versions the report states.
    """

    def make(measure: Callable[..., Measured]) -> click.Command:
        @click.command(name)
        @click.option("--quick", is_flag=True, help="Fewer and shorter runs: under a minute.")
        @click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
        @functools.wraps(measure)
        def command(as_json: bool, **options: Any) -> None:
            found = measure(**options)
            about: dict[str, Any] = machine(*libraries)
            about["libraries"] |= found.peers
            report = {"name": name, "machine": about, "runs": found.runs, **found.figures}
            if as_json:
                click.echo(json.dumps(report))
            else:
                show(report, Console(width=max(110, Console().width), highlight=False))

        return command

    return make


def by_turns(
    label: str, runs: int, sides: Mapping[str, Callable[[], T]], warm_up: int = 0
) -> dict[str, list[T]]:
    """What each side returned in each counted run.

    The sides take turns, so that a change of the processor's speed meets all of them.

    Args:
        label: stands before the progress bar.
        runs: how many are counted.
        sides: what is compared, by name.
        warm_up: how many runs come before and are not counted, for sides that fill caches of their own.
    """
    found: dict[str, list[T]] = {name: [] for name in sides}
    turns = [name for _ in range(warm_up + runs) for name in sides]
    with click.progressbar(turns, label=label, file=sys.stderr) as bar:
        for name in bar:
            found[name].append(sides[name]())
    return {name: values[warm_up:] for name, values in found.items()}


def median_ratio(costs: Sequence[float], floors: Sequence[float]) -> float:
    """The median of each run's cost over the floor of the same run."""
    return round(statistics.median(cost / floor for cost, floor in zip(costs, floors, strict=True)), 2)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 99th, of at least two values."""
    cuts = statistics.quantiles(values, n=100)
    return round(cuts[49], 1), round(cuts[98], 1)


def show(report: Mapping[str, Any], screen: Console) -> None:
    """Prints a report for a person: a table for figures that come in rows, a line for every other."""
    for name, value in report.items():
        rows = value if isinstance(value, dict) else {}
        if rows and all(isinstance(row, dict) for row in rows.values()):
            screen.print(_table(name, rows))
        else:
            told = ", ".join(f"{key} {_told(one)}" for key, one in rows.items()) or _told(value)
            screen.print(f"{name:24} {told}", soft_wrap=True)


def _table(name: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = Table()
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "why" else "right")
    for row, figures in rows.items():
        table.add_row(row, *(_told(figures[column]) if column in figures else "" for column in columns))
    return table


def _told(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(one)}" for key, one in value.items())
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
