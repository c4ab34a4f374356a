"""Waveform blocks.

Invariants: any bytes are a block or a WaveformError; what the wire format writes is read as it was.
"""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device.waveform import WaveformError, parse_block

samples = st.lists(st.integers(-32768, 32767), min_size=1, max_size=232)


def written(first: int, rate: int, values: list[int]) -> bytes:
    return struct.pack(f">IHH{len(values)}h", first, rate, len(values), *values)


@given(st.binary(max_size=480))
def test_any_bytes_are_a_block_or_refused(payload: bytes) -> None:
    with contextlib.suppress(WaveformError):
        block = parse_block(payload)
        assert written(block.first, block.rate, list(block.samples)) == payload


@given(st.integers(0, 2**32 - 1), st.integers(1, 65535), samples)
def test_what_is_written_is_read(first: int, rate: int, values: list[int]) -> None:
    assert parse_block(written(first, rate, values)) == (first, rate, tuple(values))


@pytest.mark.parametrize(
    "bad", [b"", bytes(7), written(0, 250, []), written(0, 0, [1]), written(0, 250, [1]) + b"x"]
)
def test_what_is_no_block_is_refused(bad: bytes) -> None:
    with pytest.raises(WaveformError):
        parse_block(bad)
