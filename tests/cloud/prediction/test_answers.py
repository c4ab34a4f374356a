"""The encrypted answer is the clear model's for every model and input: one leaf of each tree is reached."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parts.predicting import Client, ensemble, honest_bits, manifest_of

from pericard_cloud.prediction.evaluate import evaluate
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.published import Published
from pericard_protocol.prediction import geometry


def answers_agree(model: TreeModel, rng: np.random.Generator, rows: int = 1, **shape: Any) -> None:
    manifest = manifest_of(model, **shape)
    published, client = Published(manifest, model), Client(manifest)
    bits = honest_bits(rng, rows, len(manifest.features), manifest.edges_per_feature)
    for row, wanted in zip(bits, model.sums(bits), strict=True):
        query = client.fresh(geometry.slots(row.astype(np.uint64), manifest))
        reply = evaluate(query, published.prepare(), published.layout, published.engine, client.loaded)
        reading = client.read(reply)
        geometry.check(reading, manifest)
        assert reading.sums.tolist() == wanted.tolist()


shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "depth": st.integers(1, 6),
        "stop": st.floats(0, 0.9),
        "inputs": st.sampled_from([256, 512, 1024, 2048]),
        "classes": st.sampled_from([1, 3, 4]),
    }
)


def _drawn(shape: dict[str, Any], trees: int) -> None:
    rng = np.random.default_rng(shape["seed"])
    edges = int(rng.integers(1, 64))
    features = shape["inputs"] // edges
    classes = shape["classes"] if trees >= shape["classes"] else 1  # a class has at least one tree
    # A few slots, so that a path decides some of them twice.
    slots = int(rng.integers(1, features * edges + 1))
    model = ensemble(rng, trees, shape["depth"], slots=slots, classes=classes, stop=shape["stop"])
    answers_agree(model, rng, inputs=shape["inputs"], features=features, edges=edges)


@settings(max_examples=6)
@given(shapes, st.integers(1, 12))
def test_a_small_random_ensemble_answers_as_in_the_clear(shape: dict[str, Any], trees: int) -> None:
    shape["depth"] = min(shape["depth"], 4)
    _drawn(shape, trees)


@pytest.mark.slow
@settings(max_examples=25)
@given(shapes, st.integers(1, 200))
def test_any_random_ensemble_answers_as_in_the_clear(shape: dict[str, Any], trees: int) -> None:
    _drawn(shape, trees)


@pytest.mark.slow
@pytest.mark.parametrize(("trees", "depth"), [(20, 3), (50, 3), (100, 6), (200, 6)])
def test_full_trees_answer_as_in_the_clear(trees: int, depth: int) -> None:
    rng = np.random.default_rng(trees)
    answers_agree(ensemble(rng, trees, depth, stop=0.0), rng, rows=3)


@pytest.mark.parametrize("trees", [10, 40])
def test_the_wider_parameters_answer_as_in_the_clear(trees: int) -> None:
    rng = np.random.default_rng(trees)
    answers_agree(ensemble(rng, trees, 3), rng, parameters="s3")


def test_a_tree_of_one_leaf_is_always_reached() -> None:
    rng = np.random.default_rng(7)
    model = ensemble(rng, 3, 2, stop=0.0)
    first = model.tree == 0
    path = model.path.copy()
    path[first] = -1
    keep = ~first | (np.arange(len(first)) == 0)
    lonely = TreeModel(path[keep], model.direction[keep], model.value[keep], model.tree[keep], model.group)
    answers_agree(lonely, rng, rows=2)


def test_the_largest_sum_that_a_model_may_have_is_read_with_its_sign() -> None:
    rng = np.random.default_rng(8)
    model = ensemble(rng, 2, 1, stop=0.0)
    for sign in (1, -1):
        value = np.full(len(model.value), sign * 10_240, np.int32)
        answers_agree(TreeModel(model.path, model.direction, value, model.tree, model.group), rng)
