"""Key exports. Invariants: open(seal(key)) = key; a file parses or is BadExport; a changed one stays shut."""

import hashlib
import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_client import export
from pericard_client.errors import BadExport, WrongPassphrase
from pericard_client.export import KeyExport
from pericard_client.seal import SecretKey
from pericard_protocol.errors import UsageError

VECTOR = json.loads((Path(__file__).parents[1] / "vectors/prediction/key-export.json").read_text())
PHRASE = "correct horse"


def _secret(name: str = "s1") -> SecretKey:
    words = np.array([spec.words(name, prime, 1) for prime in range(3)], np.uint64)
    return SecretKey(name, (2, 32), bytes.fromhex("ab" * 32), words)


@pytest.fixture(scope="module")
def sealed() -> KeyExport:
    return export.seal_key(_secret(), PHRASE)


def _cheap(**changes: Any) -> dict[str, Any]:
    """The vector's file, with nothing sealed."""
    return {**VECTOR["export"], "sealed": b64encode(bytes(55824)).decode(), **changes}


def test_another_programs_export_opens_and_ours_is_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector's salt and nonce in place of fresh ones: what is sealed must have the vector's hash."""
    fixed = iter([b64decode(VECTOR["export"]["kdf"]["salt"]), b64decode(VECTOR["export"]["nonce"])])
    monkeypatch.setattr("secrets.token_bytes", lambda size: next(fixed))
    monkeypatch.setattr(export, "_MEMORY", 19456)
    monkeypatch.setattr(export, "_ITERATIONS", 2)
    made = export.seal_key(_secret(), VECTOR["passphrase"])
    assert made.associated_data().decode() == VECTOR["associated_data"]
    assert len(made.sealed) == VECTOR["bytes"]
    assert made.sealed[-16:].hex() == VECTOR["tag"]
    assert hashlib.sha256(made.sealed).hexdigest() == VECTOR["sha256"]
    assert export._derive(made.kdf, VECTOR["passphrase"]).hex() == VECTOR["key"]
    opened = export.open_key(KeyExport.from_json(made.to_json()), "caf\u0065\u0301 fine horse battery")
    assert (opened.words == _secret().words).all()


@pytest.mark.parametrize("name", ["s1", "s3"])
def test_a_key_comes_back(name: str) -> None:
    one = _secret(name)
    opened = export.open_key(KeyExport.from_json(export.seal_key(one, PHRASE).to_json()), PHRASE)
    assert (opened.parameters, opened.steps, opened.fingerprint) == (name, one.steps, one.fingerprint)
    assert (opened.words == one.words).all()


def test_salt_and_nonce_are_fresh_at_every_sealing(sealed: KeyExport) -> None:
    again = export.seal_key(_secret(), PHRASE)
    assert again.kdf.salt != sealed.kdf.salt
    assert again.nonce != sealed.nonce
    assert again.sealed != sealed.sealed


def test_the_cost_is_that_of_the_rfc(sealed: KeyExport) -> None:
    assert (sealed.kdf.memory, sealed.kdf.iterations, sealed.kdf.lanes) == (65536, 3, 4)


def test_another_passphrase_does_not_open_it(sealed: KeyExport) -> None:
    with pytest.raises(WrongPassphrase):
        export.open_key(sealed, PHRASE + " ")


@pytest.mark.parametrize(
    "change",
    [{"steps": (2, 64)}, {"fingerprint": "cd" * 32}, {"set": "s3"}, {"steps": ()}, {"nonce": bytes(12)}],
)
def test_nothing_beside_the_seal_can_be_changed(sealed: KeyExport, change: dict[str, Any]) -> None:
    with pytest.raises(WrongPassphrase):
        export.open_key(sealed.model_copy(update=change), PHRASE)


@pytest.mark.slow
def test_nothing_within_it_either(sealed: KeyExport) -> None:
    for place in (0, len(sealed.sealed) // 2, len(sealed.sealed) - 1):
        changed = bytearray(sealed.sealed)
        changed[place] ^= 1
        with pytest.raises(WrongPassphrase):
            export.open_key(sealed.model_copy(update={"sealed": bytes(changed)}), PHRASE)
    for shorter in (b"", sealed.sealed[:10], sealed.sealed[:-1]):
        with pytest.raises(WrongPassphrase):
            export.open_key(sealed.model_copy(update={"sealed": shorter}), PHRASE)


@pytest.mark.slow
def test_what_opens_but_holds_no_key_is_refused() -> None:
    short = SecretKey("s1", (), bytes(32), _secret().words[:2])
    above = np.array(_secret().words)
    above[0, 0] = spec.SETS["s1"][2][0]
    for bad in (short, SecretKey("s1", (), bytes(32), above)):
        with pytest.raises(BadExport, match="no key"):
            export.open_key(export.seal_key(bad, PHRASE), PHRASE)


BAD: list[dict[str, Any]] = [
    {"format": "pericard-key-export/2"},
    {"set": "s2"},
    {"steps": [2, 32, 64]},
    {"steps": [0]},
    {"fingerprint": "AB" * 32},
    {"nonce": "AAAA"},
    {"nonce": "no base64!"},
    {"sealed": 7},
    {"more": 1},
    {"kdf": {**VECTOR["export"]["kdf"], "algorithm": "argon2i"}},
    {"kdf": {**VECTOR["export"]["kdf"], "memory": 8192}},
    {"kdf": {**VECTOR["export"]["kdf"], "memory": (1 << 20) + 1}},
    {"kdf": {**VECTOR["export"]["kdf"], "iterations": 1}},
    {"kdf": {**VECTOR["export"]["kdf"], "iterations": 17}},
    {"kdf": {**VECTOR["export"]["kdf"], "lanes": 17}},
    {"kdf": {**VECTOR["export"]["kdf"], "salt": "AAAA"}},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_each_bound_holds(change: dict[str, Any]) -> None:
    KeyExport.from_json(json.dumps(_cheap()).encode())
    with pytest.raises(BadExport):
        KeyExport.from_json(json.dumps(_cheap(**change)).encode())


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(BadExport):
        KeyExport.from_json(data)


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(BadExport, match="too large"):
        KeyExport.from_json(b" " * (1 << 20 | 1))


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="8 characters"):
        export.seal_key(_secret(), "1234567")


def test_no_error_repeats_the_passphrase_or_the_key(sealed: KeyExport) -> None:
    with pytest.raises(WrongPassphrase) as caught:
        export.open_key(sealed, "some other phrase")
    assert "some other" not in str(caught.value)
    with pytest.raises(UsageError) as short:
        export.seal_key(_secret(), "hunter2")
    assert "hunter2" not in str(short.value)
