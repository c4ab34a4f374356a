"""Bits into slots, and slots into an answer. The vectors were computed by loops over the document's words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.errors import MalformedObject
from pericard_protocol.prediction.manifest import Manifest

CASES = json.loads((Path(__file__).parents[2] / "vectors/prediction/geometry.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['manifest']['task']}-{case['row']}")
def test_vectors(case: dict[str, Any]) -> None:
    manifest = Manifest.from_json(json.dumps(case["manifest"]))
    parameters = manifest.parameter_set
    bits = geometry.thermometer(geometry.bins(np.array([case["row"]]), manifest), manifest)[0]
    slots = geometry.slots(bits, manifest)
    assert np.flatnonzero(slots).tolist() == case["ones"]
    assert len(slots) == parameters.degree
    assert set(slots.tolist()) <= {0, 1}
    decoded = spec.spread(case["manifest"], parameters.plain, parameters.degree, case["places"])
    reading = geometry.read([np.array(one, np.uint64) for one in decoded], manifest)
    assert (reading.zeros.tolist(), reading.sums.tolist()) == (case["zeros"], case["sums"])
    geometry.check(reading, manifest)
    answer = geometry.answer(reading.sums, manifest)
    assert answer.label == case["label"]
    assert answer.probabilities == pytest.approx(case["probabilities"])
    assert answer.value == (None if case["value"] is None else pytest.approx(case["value"]))


@given(st.lists(st.integers(0, 4096), min_size=2, max_size=2))
def test_a_value_on_an_edge_is_not_above_it(halves: list[int]) -> None:
    manifest = spec.manifest()
    row = [halves[0] / 512, halves[1] / 32]
    bits = geometry.thermometer(geometry.bins(np.array([row]), manifest), manifest)[0]
    expected = [
        int(e < len(one.edges) and value > one.edges[e])
        for one, value in zip(manifest.features, row, strict=True)
        for e in range(3)
    ]
    assert bits.tolist() == expected


@pytest.mark.parametrize("row", [[[1.0]], [[1.0, np.nan]], [[np.inf, 1.0]], [1.0, 2.0]])
def test_what_is_no_row_of_numbers_is_refused(row: Any) -> None:
    with pytest.raises(UsageError):
        geometry.bins(np.array(row), spec.manifest())


def test_columns_hold_a_row_of_data_a_slot() -> None:
    manifest = spec.manifest()
    bits = np.array([[1, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0, 0]], np.uint64)
    spread = geometry.columns(bits, manifest)
    assert spread.shape == (6, 4096)
    assert spread[:, :3].T.tolist() == bits.tolist()
    assert not spread[:, 3:].any()


def test_columns_are_read_tree_by_tree() -> None:
    """Three classes of 2, 2 and 1 trees with two leaves each; leaf 1 is reached in row 0, leaf 0 in row 1."""
    manifest, t = spec.three_classes(), 40961
    decoded = np.full((20, 4096), 7, np.uint64)
    for tree, score in enumerate([5, -9, t - 1, 4, -20000]):
        for row, leaf in ((0, 1), (1, 0)):
            decoded[4 * tree + leaf, row] = 0
            decoded[4 * tree + 2 + leaf, row] = (score + 10 * row) % t
    reading = geometry.read_columns(list(decoded), manifest, 2)
    assert reading.zeros.tolist() == [[2, 2, 1], [2, 2, 1]]
    assert reading.sums.tolist() == [[-4, 3, -20000], [16, 23, -19990]]
    geometry.check(reading, manifest)
    decoded[0, 1] = 1
    with pytest.raises(MalformedObject, match="one leaf a tree"):
        geometry.check(geometry.read_columns(list(decoded), manifest, 2), manifest)


def test_a_linear_models_slots_are_added() -> None:
    manifest = spec.linear()
    slots = np.full(4096, 40960, np.uint64)  # -1 in each slot
    assert geometry.read([slots], manifest).sums.tolist() == [-4096]
    in_columns = geometry.read_columns([np.array([3, 40960, *[9] * 4094], np.uint64)], manifest, 2)
    assert in_columns.sums.tolist() == [[3], [-1]]
    geometry.check(in_columns, manifest)


def test_a_reply_that_opens_to_nothing_is_refused() -> None:
    manifest = spec.manifest()
    noise = np.random.default_rng(1).integers(0, 40961, 4096).astype(np.uint64)
    with pytest.raises(MalformedObject, match="another secret key"):
        geometry.check(geometry.read([noise], manifest), manifest)


@pytest.mark.parametrize("margin", [-2000.0, -1.0, 0.0, 3.0, 2000.0])
def test_probabilities_are_probabilities_however_large_the_margin(margin: float) -> None:
    manifest = spec.manifest(scale=1.0, offset=[margin])
    found = geometry.answer(np.zeros(1, np.int64), manifest)
    assert sum(found.probabilities) == pytest.approx(1)
    assert min(found.probabilities) >= 0
    assert found.label == ("malignant" if margin > 0 else "benign")
    three = spec.three_classes(scale=1.0, offset=[margin, -margin, 0.0])
    assert sum(geometry.answer(np.zeros(3, np.int64), three).probabilities) == pytest.approx(1)
    ranked = spec.three_classes(link="identity")
    assert geometry.answer(np.array([0, 0, 400]), ranked).label == "c"
