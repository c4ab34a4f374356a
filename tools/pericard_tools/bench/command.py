"""`pericard bench NAME`: each domain's benchmarks, found through the entry-point group `pericard.bench`.

A benchmark prints one JSON object with `--json`, progress on stderr, and quotes medians of counted runs.
"""

import click

from pericard_tools.cli import InstalledCommands


@click.group(cls=InstalledCommands, points="pericard.bench")
def bench() -> None:
    """Measure Pericard on this machine, beside what it is compared with."""
