"""The update: any bytes are an update or an UpdateError; what `build` makes is one, until a byte changes."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device.update import Update, UpdateError, build, parse_update

KEY = Ed25519PrivateKey.generate()
FILES = {"/main.py": b"import this\n", "/pericard_node/empty.py": b""}
STREAM = build(FILES, 3, KEY).stream


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: b"PUPD0020" + rest)))
def test_any_bytes_are_an_update_or_refused(stream: bytes) -> None:
    with pytest.raises(UpdateError):
        parse_update(stream)


def test_what_was_built_is_an_update_under_its_key_only() -> None:
    assert parse_update(STREAM, KEY.public_key()) == parse_update(STREAM) == Update(3, STREAM)
    with pytest.raises(UpdateError, match="not signed by this key"):
        parse_update(STREAM, Ed25519PrivateKey.generate().public_key())


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(at: int, by: int) -> None:
    changed = bytearray(STREAM)
    changed[at] ^= by
    with pytest.raises(UpdateError):
        parse_update(bytes(changed), KEY.public_key())


@pytest.mark.parametrize(
    "spell", [bytes.upper, lambda length: b"+" + length[1:], lambda length: b" " + length[1:]]
)
def test_a_length_has_one_spelling(spell: Callable[[bytes], bytes]) -> None:
    length = STREAM[4:8]
    assert length[:1] == b"0"
    assert length != length.upper()
    with pytest.raises(UpdateError):
        parse_update(STREAM[:4] + spell(length) + STREAM[8:])


@pytest.mark.parametrize("stream", [STREAM[:-1], STREAM + b"\0"])
def test_nothing_may_be_missing_or_added(stream: bytes) -> None:
    with pytest.raises(UpdateError):
        parse_update(stream)


@pytest.mark.parametrize(
    ("files", "version", "said"),
    [
        (FILES, 0, "version"),
        (FILES, 2**32, "version"),
        ({}, 1, "files"),
        ({"/keystore.bin": b""}, 1, "path"),
        ({"/pericard_node/../update.pub": b""}, 1, "path"),
        ({"/pericard_node/large.py": b" " * 65537}, 1, "size"),
        ({f"/pericard_node/{n:060}.py": b"" for n in range(40)}, 1, "too many files"),
        ({"/main.py": b"\x03"}, 1, "Ctrl-C"),
    ],
)
def test_what_no_node_takes_is_not_built(files: dict[str, bytes], version: int, said: str) -> None:
    with pytest.raises(UpdateError, match=said):
        build(files, version, KEY)
