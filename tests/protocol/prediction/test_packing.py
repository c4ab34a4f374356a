"""Packed words. Invariants: unpack(pack(words)) = words; the bytes are those of one long number."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_protocol.prediction.packing import pack, unpack

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/prediction/containers.json").read_text())


@st.composite
def _words(draw: st.DrawFn) -> tuple[int, list[int]]:
    bits = draw(st.integers(1, 57))
    count = 8 * draw(st.integers(1, 6))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count))


@given(_words())
def test_words_come_back_and_their_bytes_are_one_number(drawn: tuple[int, list[int]]) -> None:
    bits, words = drawn
    data = pack(np.array(words, np.uint64), bits)
    assert data == spec.packed(words, bits)
    assert unpack(data, bits).tolist() == words
    assert unpack(memoryview(data), bits).dtype == np.uint64


@pytest.mark.parametrize("case", VECTORS["packing"], ids=lambda case: f"{case['bits']} bits")
def test_vectors(case: dict[str, object]) -> None:
    words, bits = [int(one) for one in case["words"]], int(str(case["bits"]))  # type: ignore[attr-defined]
    assert pack(np.array(words, np.uint64), bits).hex() == case["packed"]
    assert unpack(bytes.fromhex(str(case["packed"])), bits).tolist() == words
