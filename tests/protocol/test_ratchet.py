"""The epoch ratchet. Invariant: key(e + 1) is RFC 5869's HKDF of key(e), and no key leads back."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device.ratchet import MAX_AHEAD, MAX_EPOCH, advance
from pericard_protocol.errors import UsageError

keys = st.binary(min_size=32, max_size=32)


def _hkdf_sha256(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with no salt and one block of output: extract, then expand."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


@given(keys, st.integers(0, MAX_EPOCH), st.integers(0, MAX_AHEAD))
def test_it_is_rfc_5869_step_by_step(key: bytes, epoch: int, steps: int) -> None:
    to = min(epoch + steps, MAX_EPOCH)
    expected = key
    for step in range(epoch + 1, to + 1):
        expected = _hkdf_sha256(expected, b"pericard epoch" + bytes([step >> 8, step & 0xFF]))
    assert advance(key, epoch, to) == expected


@given(keys, st.integers(0, MAX_EPOCH - 20), st.integers(0, 10), st.integers(0, 10))
def test_two_walks_are_one(key: bytes, epoch: int, first: int, second: int) -> None:
    middle = advance(key, epoch, epoch + first)
    assert advance(middle, epoch + first, epoch + first + second) == advance(
        key, epoch, epoch + first + second
    )


@pytest.mark.parametrize(
    ("epoch", "to"),
    [(1, 0), (0, MAX_AHEAD + 1), (MAX_EPOCH, MAX_EPOCH + 1), (MAX_EPOCH + 1, MAX_EPOCH + 1), (-1, 0)],
)
def test_out_of_bounds_is_refused(epoch: int, to: int) -> None:
    """Backwards, more work than 32 steps, or an epoch that the frame's header cannot carry."""
    with pytest.raises(UsageError, match=f"epoch {to}"):
        advance(bytes(32), epoch, to)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(UsageError):
        advance(bytes(size), 0, 1)
