"""Shapes of FHE objects. Invariant: bytes of exactly the right shape pass, all others are MisshapenObject."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.errors import UsageError
from pericard_protocol.fhe.objects import (
    MisshapenObject,
    check_ciphertext,
    check_relinearisation_key,
    key_fingerprint,
)
from pericard_protocol.fhe.parameters import MOMENTS, CkksParameters, UnknownParameters, parameter_set


def _header(size: int) -> bytes:
    return struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 1, 0, 0, size)


def _ciphertext(primes: int, polynomials: int, scale: float) -> bytes:
    """As SEAL 4.1's source has it: SEALHeader, Ciphertext::save_members, DynArray::save_members."""
    count = primes * polynomials * MOMENTS.degree
    array = _header(24 + 8 * count) + struct.pack("<Q", count) + bytes(8 * count)
    members = bytes(32) + struct.pack("<BQQQdQ", 1, polynomials, MOMENTS.degree, primes, scale, 1)
    return _header(16 + len(members) + len(array)) + members + array


def _key() -> bytes:
    parts = _ciphertext(3, 2, 1.0) * 2
    return _header(16 + 32 + 16 + len(parts)) + bytes(32) + struct.pack("<QQ", 1, 2) + parts


FRESH = _ciphertext(2, 2, 2.0**48)
KEY = _key()
_PARAMETERS_HASH = range(16, 48)  # SEAL compares it with its context's
_SCALE_TAIL = range(73, 78)  # the last 40 of 52 bits: rescaling moves them


def test_the_right_shapes_pass() -> None:
    check_ciphertext(FRESH, MOMENTS, primes=2)
    check_ciphertext(_ciphertext(1, 2, 2.0**96 / 281474976694273), MOMENTS, primes=1)
    check_ciphertext(_ciphertext(2, 3, 2.0**96), MOMENTS, primes=2, polynomials=3)
    check_relinearisation_key(KEY, MOMENTS)


@given(st.sampled_from(sorted({*range(113)} - {*_PARAMETERS_HASH, *_SCALE_TAIL})), st.integers(1, 255))
def test_no_byte_of_a_ciphertexts_prefix_can_be_changed(place: int, change: int) -> None:
    changed = bytearray(FRESH)
    changed[place] ^= change
    with pytest.raises(MisshapenObject):
        check_ciphertext(bytes(changed), MOMENTS, primes=2)


@given(st.sampled_from([*range(16), *range(48, 80), 64 + 48, 64 + 393329 + 8]), st.integers(1, 255))
def test_nor_of_a_keys(place: int, change: int) -> None:
    changed = bytearray(KEY)
    changed[place] ^= change
    with pytest.raises(MisshapenObject):
        check_relinearisation_key(bytes(changed), MOMENTS)


@given(st.binary(max_size=400))
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(MisshapenObject):
        check_ciphertext(data, MOMENTS, 2)
    with pytest.raises(MisshapenObject):
        check_relinearisation_key(data, MOMENTS)


@pytest.mark.parametrize("data", [FRESH[:-1], FRESH + b"\0", b"", KEY])
def test_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(MisshapenObject, match="length in bytes"):
        check_ciphertext(data, MOMENTS, primes=2)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, -(2.0**48), 2.0**47, 2.0**49])
def test_another_scale_is_refused(scale: float) -> None:
    """A scale is not a number that a peer may choose: results are divided by it."""
    with pytest.raises(MisshapenObject, match="scale"):
        check_ciphertext(_ciphertext(1, 2, scale), MOMENTS, primes=1)


def test_only_allowed_parameters_have_a_name() -> None:
    assert parameter_set("ckks-8192-moments") is MOMENTS
    with pytest.raises(UnknownParameters, match="ckks-8192-moments"):
        parameter_set("ckks-1024-fast")


@pytest.mark.parametrize(
    ("bits", "scale_bits", "packs", "word"),
    [
        ((60, 50, 50, 60), 48, 512, "128-bit"),
        ((60, 48, 60), 48, 513, "overflow"),
        ((50, 48, 60), 48, 1, "overflow"),
    ],
)
def test_weak_or_overflowing_parameters_cannot_be_made(
    bits: tuple[int, ...], scale_bits: int, packs: int, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        CkksParameters("x", 8192, bits, scale_bits, packs)


def test_a_fingerprint_covers_parameters_and_key() -> None:
    prints = {
        key_fingerprint("moments", b"a"),
        key_fingerprint("moments", b"b"),
        key_fingerprint("other", b"a"),
    }
    assert {len(one) for one in prints} == {32}
    assert len(prints) == 3
    with pytest.raises(UsageError):
        key_fingerprint("a\0b", b"c")  # else it would be that of "a" and a key that begins with b
