"""The payload of a waveform block (docs/wire-format.md): checks and reads it."""

import struct
from typing import NamedTuple

from pericard_protocol.errors import PeerError

_HEAD = struct.Struct(">IHH")
_SAMPLE_BYTES = 2


class WaveformError(PeerError):
    """An authentic payload that is no waveform block."""

    reason = "waveform"


class Block(NamedTuple):
    """`samples` in the sensor's own unit, 16 bits signed, from sample number `first` on, `rate` a second."""

    first: int
    rate: int
    samples: tuple[int, ...]


def parse_block(payload: bytes) -> Block:
    """The block in `payload`.

    Raises:
        WaveformError: it has no samples or no rate, or its length is not what it says.
    """
    if len(payload) < _HEAD.size:
        raise WaveformError("the payload is too short for a waveform block")
    first, rate, count = _HEAD.unpack_from(payload)
    if not rate or not count or len(payload) != _HEAD.size + _SAMPLE_BYTES * count:
        raise WaveformError(
            f"the payload of {len(payload)} bytes is no block of {count} samples at {rate} Hz"
        )
    return Block(first, rate, struct.unpack_from(f">{count}h", payload, _HEAD.size))
