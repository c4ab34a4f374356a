"""`pericard demo`: plays the story and prints what came of it, for a person or as JSON."""

import dataclasses
import json
import signal
import sys

import click

from pericard_protocol.errors import PericardError
from pericard_server.records.suites import DEFAULT_SUITE, SUITES


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
    # Here, not above: what plays and shows takes half a second that `--help` should not pay.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn

    from pericard_tools.demo import report
    from pericard_tools.demo.story import play

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
        report.show(outcome)
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


def _yes(value: bool) -> str:
    return "yes" if value else "no"
