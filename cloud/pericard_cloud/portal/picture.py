"""A picture of bytes: each is one grey point. What is well encrypted looks like noise."""

import struct
import zlib

WIDTH = 128


def png(data: bytes) -> bytes:
    """The bytes as a PNG file, 128 points a line (PNG, W3C 2003: 8 bits of grey, no filter)."""
    height = max(1, len(data) // WIDTH)
    body = data[: height * WIDTH].ljust(height * WIDTH, b"\0")
    lines = b"".join(b"\0" + body[at : at + WIDTH] for at in range(0, len(body), WIDTH))
    head = struct.pack(">IIBBBBB", WIDTH, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
