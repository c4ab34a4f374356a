"""`pericard demo`: plays the story and prints what came of it, for a person or as JSON."""

import dataclasses
import json
import signal
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn
from rich.table import Table

from pericard_protocol.errors import PericardError
from pericard_server.records.suites import DEFAULT_SUITE, SUITES
from pericard_tools.demo.outcome import Outcome
from pericard_tools.demo.story import play


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="How long the boards send.",
)
@click.option(
    "--at-rest",
    "suite",
    default=DEFAULT_SUITE.name,
    show_default=True,
    type=click.Choice(list(SUITES)),
    help="How the hospital seals what it stores.",
)
def demo(as_json: bool, seconds: float, suite: str) -> None:
    """Run the whole pipeline on this machine, without hardware.

    Three virtual boards, a gateway, a hospital, its KMS and a cloud run as processes of their own. It fails
    unless every frame that was sent is stored and every result of the cloud is right, and leaves no file.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every party is stopped on the way out
    screen = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def tell(what: str, done: float) -> None:
            bar.update(task, description=what, completed=done)
            if bar.disable and not what.startswith("the boards send"):  # which is told twice a second
                screen.print(what, highlight=False)

        try:
            outcome = play(tell, seconds, suite)
        except PericardError as error:
            raise click.ClickException(f"pericard demo: FAILED: {error}") from None
    if as_json:
        shown = dataclasses.asdict(outcome) | {"lost": outcome.lost}
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(outcome, Console(width=max(110, Console().width), highlight=False))
    if not outcome.good:
        raise click.ClickException(
            f"pericard demo: FAILED: frames={outcome.frames} stored={outcome.stored} lost={outcome.lost}"
            f" validated={_yes(outcome.validated)}"
        )
    if not as_json:
        click.echo(
            f"pericard demo: OK frames={outcome.frames} stored={outcome.stored} lost={outcome.lost}"
            f" validated={_yes(outcome.validated)}"
        )


def _print(outcome: Outcome, screen: Console) -> None:
    frames = _table("Frames of each patient", "patient", "device", "sent", "received", "stored", "lost")
    for row in outcome.patients:
        frames.add_row(
            *(str(row[name]) for name in ("patient", "device", "sent", "received", "stored", "lost"))
        )
    rates = _table(
        "Heart rate in beats per minute: computed blindly by the cloud, and in the clear by the hospital",
        *("patient", "mean, blind", "clear", "difference", "SD, blind", "clear", "difference"),
    )
    for row in outcome.patients:
        figures = (
            f"{row[f'{kind}_{how}']:{form}}"
            for kind in ("mean", "sd")
            for how, form in (("blind", ".4f"), ("clear", ".4f"), ("difference", "+.1e"))
        )
        rates.add_row(row["patient"], *figures)
    stages = _table("What each stage cost", "stage", "milliseconds", "bytes handed on")
    for stage in outcome.stages:
        stages.add_row(stage.name, f"{stage.milliseconds:.1f}", f"{stage.bytes:,}" if stage.bytes else "")
    saw = _table("What each party saw", "party", "saw")
    saw.columns[1].justify = "left"
    for party, what in outcome.saw.items():
        saw.add_row(party, what)
    for table in (frames, rates, stages, saw):
        screen.print(table)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _yes(value: bool) -> str:
    return "yes" if value else "no"
