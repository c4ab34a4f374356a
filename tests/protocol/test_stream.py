"""The stream decoder.

Invariants: how a stream is cut changes nothing; it holds at most one packet; a good packet after any garbage
ended by 0x00 is found.
"""

from collections.abc import Iterable
from itertools import pairwise

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device import frame, stream
from pericard_protocol.device.frame import FrameError, FrameType, Header
from pericard_protocol.device.stream import MAX_PACKET_BYTES, OverlongError, PacketError, StreamDecoder

CIPHER = ChaCha20Poly1305(bytes(32))


def _sealed(payload: bytes, seq: int = 0) -> bytes:
    return frame.seal_frame(CIPHER, Header(FrameType.STATUS, 0, 7, 1, seq), payload)


packets = st.binary(max_size=480).map(lambda payload: stream.encode_packet(_sealed(payload)))
pieces = st.one_of(
    packets, st.binary(max_size=40), st.just(b"\0"), st.integers(500, 1500).map(b"\x05".__mul__)
)
streams = st.lists(pieces, max_size=12).map(b"".join)


def _outcomes(chunks: Iterable[bytes]) -> list[object]:
    decoder = StreamDecoder()
    found = [item for chunk in chunks for item in decoder.feed(chunk)]
    return [(type(item), str(item)) if isinstance(item, FrameError) else item for item in found]


def _cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 8000), max_size=30))
def test_cuts_change_nothing(data: bytes, at: list[int]) -> None:
    whole = _outcomes([data])
    assert _outcomes(_cut(data, at)) == whole
    assert _outcomes(bytes([byte]) for byte in data) == whole


@given(st.binary(max_size=3000))
def test_any_bytes_are_frames_or_rejections(data: bytes) -> None:
    """And never more of them than packets."""
    found = list(StreamDecoder().feed(data + b"\0"))
    assert all(isinstance(item, frame.Frame | FrameError) for item in found)
    assert len(found) == sum(bool(packet) for packet in data.split(b"\0"))


@given(streams, st.binary(max_size=480))
def test_a_good_packet_after_garbage_is_found(garbage: bytes, payload: bytes) -> None:
    decoder = StreamDecoder()
    list(decoder.feed(garbage + b"\0"))
    (found,) = decoder.feed(stream.encode_packet(_sealed(payload)))
    assert isinstance(found, frame.Frame)
    assert frame.open_frame(CIPHER, found) == payload


@given(st.lists(st.binary(max_size=480), max_size=20))
def test_every_frame_arrives_in_order(payloads: list[bytes]) -> None:
    sent = [_sealed(payload, seq) for seq, payload in enumerate(payloads)]
    found = list(StreamDecoder().feed(b"".join(map(stream.encode_packet, sent))))
    assert [item.associated_data + item.sealed for item in found if isinstance(item, frame.Frame)] == sent


@given(st.lists(st.binary(max_size=700), max_size=20))
def test_memory_is_bounded_by_one_packet(chunks: list[bytes]) -> None:
    decoder = StreamDecoder()
    for chunk in chunks:
        list(decoder.feed(chunk.replace(b"\0", b"\1")))
        assert len(decoder._pending) <= MAX_PACKET_BYTES


@given(st.integers(MAX_PACKET_BYTES + 1, 5000), st.integers(1, 600))
def test_an_overlong_packet_is_one_rejection(size: int, step: int) -> None:
    decoder = StreamDecoder()
    data = b"\x05" * size
    found = [item for start in range(0, size, step) for item in decoder.feed(data[start : start + step])]
    assert [type(item) for item in found] == [OverlongError]
    assert list(decoder.feed(b"still the same packet\0")) == []
    assert len(list(decoder.feed(stream.encode_packet(_sealed(b"next"))))) == 1


def test_the_longest_frame_fits_a_packet() -> None:
    """Also with no zero in it, COBS's worst case (Cheshire and Baker, section 3)."""
    longest = b"\1" * frame.MAX_FRAME_BYTES
    packet = stream.encode_packet(longest)
    assert len(packet) == MAX_PACKET_BYTES + 1
    assert list(StreamDecoder().feed(packet)) == [frame.parse_frame(longest)]


def test_a_packet_that_is_not_cobs_says_so() -> None:
    """Its first byte promises more than there is."""
    (found,) = StreamDecoder().feed(b"\x05ab\0")
    assert isinstance(found, PacketError)
    assert found.reason == "garbage"


def test_empty_packets_are_no_fault() -> None:
    """A device may send 0x00 to end whatever stood on the line before its first frame."""
    assert list(StreamDecoder().feed(b"\0\0\0")) == []
