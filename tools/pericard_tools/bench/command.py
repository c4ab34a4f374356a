"""`pericard bench NAME`: the benchmarks, found through the entry-point group `pericard.bench`."""

import click

from pericard_tools.cli import InstalledCommands


@click.group(cls=InstalledCommands, points="pericard.bench")
def bench() -> None:
    """Measure Pericard on this machine, beside what it is compared with.

    Each prints a table, or with --json one object; the progress goes to stderr.
    """
