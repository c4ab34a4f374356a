"""The device frame. Invariants: open(seal(x)) = x; bytes parse or raise FrameError; no bit is free."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device import frame
from pericard_protocol.device.frame import (
    FrameError,
    FrameType,
    Header,
    LengthError,
    NotAuthentic,
    VersionError,
)
from pericard_protocol.errors import UsageError

u32 = st.integers(0, 2**32 - 1)
headers = st.builds(Header, st.sampled_from(FrameType), st.integers(0, 2**16 - 1), u32, u32, u32)
payloads = st.binary(max_size=frame.MAX_PAYLOAD_BYTES)
keys = st.binary(min_size=32, max_size=32)

KEY = bytes(range(32))
HEADER = Header(FrameType.VITALS, epoch=1, device=2, boot=3, seq=4)


@given(keys, headers, payloads)
def test_what_was_sealed_opens(key: bytes, header: Header, payload: bytes) -> None:
    cipher = ChaCha20Poly1305(key)
    raw = frame.seal_frame(cipher, header, payload)
    assert len(raw) == 32 + len(payload)
    parsed = frame.parse_frame(raw)
    assert parsed.header == header
    assert frame.open_frame(cipher, parsed) == payload


@given(st.binary(max_size=600) | st.binary(max_size=600).map(lambda tail: b"\x01\x01" + tail))
def test_any_bytes_are_a_frame_or_a_frame_error(raw: bytes) -> None:
    try:
        parsed = frame.parse_frame(raw)
    except FrameError:
        return
    assert parsed.header.pack() == parsed.associated_data
    assert parsed.associated_data + parsed.sealed == raw
    with pytest.raises(NotAuthentic):
        frame.open_frame(ChaCha20Poly1305(KEY), parsed)


@pytest.mark.parametrize("bit", range(8 * (32 + 3)))
def test_every_bit_is_bound(bit: int) -> None:
    """Header, ciphertext and tag: none can be flipped."""
    cipher = ChaCha20Poly1305(KEY)
    raw = bytearray(frame.seal_frame(cipher, HEADER, b"abc"))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises((VersionError, NotAuthentic)):
        frame.open_frame(cipher, frame.parse_frame(bytes(raw)))


def test_another_key_does_not_open() -> None:
    raw = frame.seal_frame(ChaCha20Poly1305(KEY), HEADER, b"abc")
    with pytest.raises(NotAuthentic):
        frame.open_frame(ChaCha20Poly1305(bytes(32)), frame.parse_frame(raw))


@given(headers, headers)
def test_two_counters_of_one_device_never_share_a_nonce(one: Header, other: Header) -> None:
    """The nonce is bytes 4..16, device ‖ boot ‖ seq: one payload sealed under two of them has two streams."""
    nonces = {header.pack()[4:16] for header in (one, other)}
    assert len(nonces) == len({header[2:] for header in (one, other)})
    first, second = (frame.seal_frame(ChaCha20Poly1305(KEY), header, bytes(32)) for header in (one, other))
    assert (first[16:48] == second[16:48]) == (one[2:] == other[2:])


@pytest.mark.parametrize("size", [0, 1, 31, 513, 100_000])
def test_a_wrong_length_says_so(size: int) -> None:
    with pytest.raises(LengthError, match=str(size)):
        frame.parse_frame(b"\x01" * size)


@pytest.mark.parametrize("start", [b"\x00\x01", b"\x02\x01", b"\x01\x00", b"\x01\x05", b"\xff\xff"])
def test_an_unknown_version_or_type_says_so(start: bytes) -> None:
    with pytest.raises(VersionError, match=f"version {start[0]}, type {start[1]}"):
        frame.parse_frame(start + bytes(40))


@pytest.mark.parametrize(
    "header",
    [
        HEADER._replace(epoch=2**16),
        HEADER._replace(device=2**32),
        HEADER._replace(boot=2**32),
        HEADER._replace(seq=2**32),
        HEADER._replace(seq=-1),
    ],
)
def test_a_field_that_does_not_fit_is_our_mistake(header: Header) -> None:
    """A counter never wraps into one that was used."""
    with pytest.raises(UsageError):
        frame.seal_frame(ChaCha20Poly1305(KEY), header, b"")


def test_a_payload_too_long_is_our_mistake() -> None:
    assert len(frame.seal_frame(ChaCha20Poly1305(KEY), HEADER, bytes(480))) == 512
    with pytest.raises(UsageError, match="481"):
        frame.seal_frame(ChaCha20Poly1305(KEY), HEADER, bytes(481))
