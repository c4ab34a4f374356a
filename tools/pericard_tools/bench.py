"""`pericard bench NAME`: each domain's benchmarks, found through the entry-point group `pericard.bench`.

A benchmark prints one JSON object with `--json`, progress on stderr, and quotes medians of counted runs.
"""

import os
import platform
from importlib.metadata import version

import click

from pericard_tools.cli import InstalledCommands


@click.group(cls=InstalledCommands, points="pericard.bench")
def bench() -> None:
    """Measure Pericard on this machine, beside what it is compared with."""


def machine(*libraries: str) -> dict[str, object]:
    """What a figure depends on: cores, processor, Python, and the versions of the libraries compared."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
    }


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
