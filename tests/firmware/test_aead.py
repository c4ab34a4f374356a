"""The firmware's ChaCha20-Poly1305 gives every vector its verdict, on MicroPython and on CPython."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FIRMWARE = TESTS.parent / "firmware"
MICROPYTHON = Path(sys.executable).parent / "micropython"


@pytest.mark.parametrize("interpreter", [MICROPYTHON, sys.executable], ids=["micropython", "cpython"])
def test_every_vector_gets_its_verdict(interpreter: Path | str) -> None:
    files = sorted((TESTS / "vectors" / "chacha20-poly1305").glob("*.json"))
    run = subprocess.run(
        [interpreter, TESTS / "firmware" / "vectors.py", FIRMWARE, *files],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith(" right 0 wrong\n")


def test_a_runner_without_vectors_fails() -> None:
    run = subprocess.run([sys.executable, TESTS / "firmware" / "vectors.py", FIRMWARE], capture_output=True)
    assert run.returncode == 1
