"""Words in exactly the bits of their prime, one after another, little endian: word 0 at bit 0 of byte 0."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_WIDEST = 57  # a word that begins at any bit of a byte lies within 8 bytes


def pack(words: Words, bits: int) -> bytes:
    """Packs words of at most `bits` bits.

    Args:
        words: uint64[n], each below 2^bits; higher bits are dropped.
        bits: 1 to 57; n x bits is a multiple of 8.

    Returns:
        n x bits / 8 bytes.
    """
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8).reshape(-1, 8)
    return np.packbits(
        np.unpackbits(octets, axis=1, count=bits, bitorder="little"), bitorder="little"
    ).tobytes()


def unpack(data: bytes | memoryview, bits: int) -> Words:
    """What `pack` packed: uint64[8 x len(data) / bits].

    Args:
        data: whole words.
        bits: 1 to 57.
    """
    count = 8 * len(data) // bits
    padded = np.zeros(len(data) + 8, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    start = np.arange(count) * bits
    windows = np.lib.stride_tricks.sliding_window_view(padded, 8)[start >> 3]
    words = np.ascontiguousarray(windows).view("<u8").ravel() >> (start & 7).astype(np.uint64)
    return (words & np.uint64((1 << bits) - 1)).astype(np.uint64, copy=False)
