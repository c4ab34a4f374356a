"""The device frame: a clear 16-byte header and a ChaCha20-Poly1305 ciphertext (docs/wire-format.md).

Parses, seals and opens single frames. It keeps no counter and checks no freshness: the replay window is the
gateway's, the (boot, seq) counter the device's.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_protocol.errors import PeerError, UsageError

VERSION = 1
HEADER_BYTES = 16
TAG_BYTES = 16
MAX_FRAME_BYTES = 512
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - HEADER_BYTES - TAG_BYTES
KEY_BYTES = 32

_HEADER = struct.Struct(">BBHIII")
_new = tuple.__new__


class FrameError(PeerError):
    """Bytes on the device link that are no frame."""

    reason = "frame"


class LengthError(FrameError):
    """Shorter than a header and a tag, or longer than a frame may be."""

    reason = "length"


class VersionError(FrameError):
    """A version or a frame type that this release does not know."""

    reason = "version"


class NotAuthentic(FrameError):
    """The tag does not verify: forged, damaged, or sealed under another key."""

    reason = "not authentic"


class FrameType(IntEnum):
    """What the payload of a frame is."""

    VITALS = 1
    WAVEFORM = 2
    STATUS = 3
    PROXIMITY = 4


class Header(NamedTuple):
    """The clear part of a frame, all of it authenticated. Integers; the widths are those of the wire."""

    type: FrameType
    epoch: int
    device: int
    boot: int
    seq: int

    def pack(self) -> bytes:
        """The 16 bytes on the wire.

        Raises:
            UsageError: a field does not fit its width.
        """
        try:
            return _HEADER.pack(VERSION, *self)
        except struct.error as error:
            raise UsageError(f"a frame header's field does not fit: {error}") from None


class Frame(NamedTuple):
    """One frame as received: its header, the bytes of that header, and the sealed payload with its tag."""

    header: Header
    associated_data: bytes
    sealed: bytes


_TYPES = {int(kind): kind for kind in FrameType}


def parse_frame(raw: bytes) -> Frame:
    """Splits a frame, checking length, version and type, and nothing else.

    Raises:
        LengthError: not between 32 and 512 bytes.
        VersionError: an unknown version or type.
    """
    if not HEADER_BYTES + TAG_BYTES <= len(raw) <= MAX_FRAME_BYTES:
        raise LengthError(f"a frame of {len(raw)} bytes; it must have 32 to {MAX_FRAME_BYTES}")
    version, number, epoch, device, boot, seq = _HEADER.unpack_from(raw)
    kind = _TYPES.get(number)
    if version != VERSION or kind is None:
        raise VersionError(f"a frame of version {version}, type {number}: unknown to this release")
    # The named tuple's own constructor takes twice as long, and this line runs for every frame.
    header = _new(Header, (kind, epoch, device, boot, seq))
    return _new(Frame, (header, raw[:HEADER_BYTES], raw[HEADER_BYTES:]))


def open_frame(cipher: ChaCha20Poly1305, frame: Frame) -> bytes:
    """The payload of an authentic frame, at most 480 bytes.

    Raises:
        NotAuthentic: the tag does not verify under `cipher`'s key.
    """
    header, associated_data, sealed = frame
    try:
        return cipher.decrypt(_nonce(associated_data), sealed, associated_data)
    except InvalidTag:
        raise NotAuthentic(f"device {header.device}: the tag does not verify") from None


def seal_frame(cipher: ChaCha20Poly1305, header: Header, payload: bytes) -> bytes:
    """The bytes of a frame. The caller never uses one (boot, seq) twice under one key.

    Raises:
        UsageError: more than 480 bytes of payload, or a header field too wide.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UsageError(f"a payload of {len(payload)} bytes; a frame holds at most {MAX_PAYLOAD_BYTES}")
    packed = header.pack()
    return packed + cipher.encrypt(_nonce(packed), payload, packed)


def _nonce(header: bytes) -> bytes:
    # RFC 8439 wants 96 bits that never repeat under a key. One key serves one device and one direction; the
    # device persists boot + 1 before its first frame and counts seq from 0, so (boot, seq) never repeats
    # under it; device id ‖ boot ‖ seq (bytes 4..16) therefore never does.
    return header[4:16]
