"""Runs a domain's command where the tools, which have the command `pericard`, are not installed."""

import sys
from collections.abc import Callable

from pericard_edge.process import forbid_core_dumps
from pericard_protocol.errors import PericardError


def run_alone(command: Callable[..., object], name: str) -> None:
    """Runs a click command to its end; an error of Pericard's is told in one line, with exit code 1."""
    forbid_core_dumps()
    try:
        command(prog_name=name)
    except PericardError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
