"""What clients can take from the model by asking: no cipher prevents it, so the queries are counted.

docs/prediction.md has these figures, and quotas are set by them. The oracle gives in the clear what
test_attacks shows that a reply gives.
"""

from typing import Any

import numpy as np
import pytest
from tests.parts import extraction
from tests.parts.extraction import Oracle
from tests.parts.predicting import EDGES, FEATURES, ensemble, honest_bits

from pericard_cloud.prediction.model import TreeModel

SLOTS = FEATURES * EDGES


def model_of(trees: int, seed: int) -> TreeModel:
    rng = np.random.default_rng(seed)
    while True:
        model = ensemble(rng, trees, 3, stop=0.0, span=1000)
        if extraction.distinct_paths(model):
            return model


def paths(model: TreeModel) -> list[set[int]]:
    """The slots on the path of the all-zero input."""
    reached = model.reached(np.zeros((1, SLOTS), np.uint8))[0]
    return [set(path.tolist()) for path in model.path[reached]]


def all_found(found: list[set[int]], model: TreeModel) -> bool:
    return sorted(map(sorted, found)) == sorted(map(sorted, paths(model)))


def test_counting_probes_find_a_path_of_each_tree() -> None:
    """With slots that are no bits: some 50 queries a tree for one path of its eight."""
    model = model_of(20, seed=1)
    oracle = Oracle(model)
    found = extraction.paths_by_counting(oracle.alive, 20, SLOTS, np.random.default_rng(2))
    assert all_found(found, model)
    print(f"one path of each of 20 trees by counting: {oracle.queries} queries")
    assert 500 < oracle.queries < 1500


def test_batches_give_the_same_to_a_tenth_of_the_rows() -> None:
    """Mode columns shows which trees are reached: all paths are found at once, whatever their number."""
    rows = {}
    for trees in (20, 50):
        model = model_of(trees, seed=3)
        oracle = Oracle(model)
        assert all_found(extraction.paths_by_columns(oracle, SLOTS, np.random.default_rng(4)), model)
        rows[trees] = oracle.queries
    print(f"one path of each tree in mode columns: rows by trees {rows}")
    assert 40 < rows[20] < 150
    assert rows[50] < 1.5 * rows[20]


@pytest.mark.slow
@pytest.mark.parametrize("decoys", [0, 16])
def test_bits_alone_give_the_whole_function(decoys: int) -> None:
    """Sums of bits, no probe malformed: exact, with decoys or not, since their values add up to zero."""
    model = model_of(20, seed=5)
    oracle = Oracle(model, decoys)
    function = extraction.function_by_sums(oracle, SLOTS, np.random.default_rng(6))
    bits = honest_bits(np.random.default_rng(7), 300)
    assert [function(row) for row in bits] == model.sums(bits)[:, 0].tolist()
    print(f"the function of 20 trees from sums alone, {decoys} decoys: {oracle.queries} queries")
    assert 3000 < oracle.queries < 12_000


@pytest.mark.slow
def test_decoys_only_make_counting_dear() -> None:
    """With places that are reached at random, a count is a mean of some 6.6 queries for each of them."""
    model = model_of(3, seed=8)
    plain = Oracle(model)
    extraction.paths_by_counting(plain.alive, 3, SLOTS, np.random.default_rng(9))
    decoys, times = 16, 160
    hidden = Oracle(model, decoys, np.random.default_rng(10))
    alive = extraction.averaged(hidden, decoys, times)
    found = extraction.paths_by_counting(alive, 3, SLOTS, np.random.default_rng(9))
    assert all_found(found, model)
    print(
        f"one path of each of 3 trees by counting: {plain.queries}, with 16 decoys {hidden.queries} queries"
    )
    assert hidden.queries > 50 * plain.queries


def _patients(rng: np.random.Generator, rows: int) -> tuple[Any, Any]:
    """Bits of correlated features and labels that depend on several of them."""
    common = rng.normal(size=(rows, 3))
    features = common @ rng.normal(size=(3, FEATURES)) + rng.normal(size=(rows, FEATURES))
    label = (features[:, 0] + features[:, 1] * (features[:, 2] > 0) + 0.5 * rng.normal(size=rows)) > 0
    edges = np.quantile(features, np.linspace(0, 1, EDGES + 2)[1:-1], axis=0)
    bits = features[:, :, None] > edges.T[None]
    return bits.reshape(rows, SLOTS).astype(np.float32), label.astype(float)


@pytest.mark.slow
def test_honest_queries_make_a_surrogate() -> None:
    """No cipher helps against learning from answers: this is what a quota in rows has to be set by."""
    bits, label = _patients(np.random.default_rng(11), 900)
    model = extraction.boosted(bits[:600], label[:600], 50, 0.3, logistic=True)
    wanted = model.sums(bits[600:].astype(np.uint8))[:, 0]
    assert ((wanted > 0) == (label[600:] > 0)).mean() > 0.75  # it is a model of something
    rng, agreement = np.random.default_rng(12), {}
    for queries in (50, 1000):
        # Guesses of a client without any data: bins that rise and fall together.
        middle = rng.integers(0, EDGES + 1, (queries, 1))
        bins = np.clip(middle + rng.integers(-8, 9, (queries, FEATURES)), 0, EDGES)
        asked = (bins[:, :, None] > np.arange(EDGES)).reshape(queries, SLOTS)
        answers = model.sums(asked.astype(np.uint8))[:, 0].astype(float)
        spread = np.abs(answers).max()
        surrogate = extraction.boosted(asked.astype(np.float32), answers / spread, 100, 0.2)
        guessed = surrogate.sums(bits[600:].astype(np.uint8))[:, 0]
        agreement[queries] = round(float(((guessed > 0) == (wanted > 0)).mean()), 3)
    print(f"labels that a surrogate of honest queries shares with the model: {agreement}")
    assert agreement[1000] > 0.85
    assert agreement[1000] > agreement[50]
