"""What came of the demo, as tables for a person."""

from rich.console import Console
from rich.table import Table

from pericard_tools.demo.outcome import Outcome


def show(outcome: Outcome) -> None:
    """Prints the tables of an outcome."""
    screen = Console(width=max(110, Console().width), highlight=False)
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
