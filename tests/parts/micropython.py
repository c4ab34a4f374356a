"""Runs scripts of tests/firmware on the Pythons that the firmware runs on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "firmware"
FIRMWARE = ROOT / "firmware"
MICROPYTHON = Path(sys.executable).parent / "micropython"

Interpreter = Callable[..., str]


def run(interpreter: Path, script: Path, *arguments: Path | str, stdin: str = "", ok: int = 0) -> str:
    """What `script` prints; it must exit with `ok`."""
    done = subprocess.run(
        [interpreter, script, *arguments], input=stdin, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == ok, done.stdout + done.stderr
    return done.stdout
