"""Cuts a byte stream from a device (serial or BLE) into frames: COBS packets, each ended by 0x00.

It takes any bytes, gives frames or the reasons why there is none, and holds at most one frame. No I/O.
"""

from collections.abc import Iterator

from cobs import cobs

from pericard_protocol.device.frame import MAX_FRAME_BYTES, Frame, FrameError, parse_frame

# COBS (Cheshire and Baker, 1999) adds one byte for each 254 bytes, and one for the bytes left over.
MAX_PACKET_BYTES = MAX_FRAME_BYTES + MAX_FRAME_BYTES // 254 + 1


class PacketError(FrameError):
    """A packet that is not COBS."""

    reason = "garbage"


class OverlongError(FrameError):
    """More bytes without a 0x00 than any frame has; they are dropped up to the next one."""

    reason = "overlong"


def encode_packet(frame: bytes) -> bytes:
    """The packet that carries `frame`, with its closing 0x00."""
    return b"%b\0" % cobs.encode(frame)


class StreamDecoder:
    """Feed it what arrives; it yields each frame, or the reason why a packet is none."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[Frame | FrameError]:
        """Consumes `data`. Errors are yielded, never raised: a damaged packet must not end the link."""
        *complete, rest = data.split(b"\0")
        for part in complete:
            if self._pending:
                part = bytes(self._pending) + part
                self._pending.clear()
            if self._skipping:
                self._skipping = False
            elif len(part) > MAX_PACKET_BYTES:
                yield _overlong()
            elif part:
                yield _decode(part)
        if not self._skipping:
            self._pending += rest
            if len(self._pending) > MAX_PACKET_BYTES:
                self._pending.clear()
                self._skipping = True
                yield _overlong()


def _overlong() -> OverlongError:
    return OverlongError(f"over {MAX_PACKET_BYTES} bytes without an end of packet")


def _decode(packet: bytes) -> Frame | FrameError:
    try:
        return parse_frame(cobs.decode(packet))
    except cobs.DecodeError as error:
        return PacketError(f"a packet of {len(packet)} bytes is not COBS: {error}")
    except FrameError as error:
        return error
