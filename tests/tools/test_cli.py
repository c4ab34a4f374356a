"""The command line is quick to say what it has: what a command does is imported once it runs."""

import subprocess
import sys

import pytest

HEAVY = ("django", "grpc", "pydantic", "rich", "numpy", "serial", "asyncio")
# Prints which of them a command's help has loaded.
SHOWN = f"""
import sys
from pericard_tools.cli import pericard
pericard(sys.argv[1:] + ["--help"], prog_name="pericard", standalone_mode=False)
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.mark.parametrize("group", ["", "server", "gateway", "kms", "cloud", "emulate", "demo"])
def test_help_loads_nothing_heavy(group: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, *group.split()], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("Usage: pericard")
    assert done.stdout.endswith("loaded: []\n")
