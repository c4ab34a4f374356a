"""The Pythons that the firmware runs on: 64-bit MicroPython, 32-bit ARM MicroPython, CPython."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.parts.micropython import FIRMWARE, MICROPYTHON, SCRIPTS, Interpreter, run

ARM32 = SCRIPTS / "arm32"
_SKIPPED = 77


@pytest.fixture(
    params=[
        "micropython",
        pytest.param("arm32", marks=pytest.mark.slow),
        "cpython",
    ]
)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Runs a script of this folder on one of the Pythons; its first argument is the firmware's folder."""
    name = request.param
    if name == "arm32":
        request.getfixturevalue("arm32")
    binary = {"micropython": MICROPYTHON, "arm32": ARM32, "cpython": Path(sys.executable)}[name]

    def on(script: str, *arguments: Path | str, **how: object) -> str:
        return run(binary, SCRIPTS / script, FIRMWARE, *arguments, **how)  # type: ignore[arg-type]

    return on


@pytest.fixture(scope="session")
def arm32() -> None:
    """Sets the 32-bit MicroPython up, once for this user; says why where that cannot be."""
    done = subprocess.run([ARM32], capture_output=True, text=True, timeout=300)
    if done.returncode == _SKIPPED:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
