"""Places and diagonals without a cipher: rotations and products give each leaf its two numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parts.predicting import ensemble, honest_bits

from pericard_cloud.prediction import diagonals, layout, places, weights
from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import TreeModel
from pericard_protocol.errors import UsageError

T = 40961


def layout_of(model: TreeModel, inputs: int, giant: int = 16) -> Layout:
    plan, blocks = layout.plan_for(model, inputs, 4096)
    return Layout(4096, T, inputs, plan, giant, blocks)


def computed(model: TreeModel, placed: places.Placed, drawn: weights.Weights, bits: Any, laid: Layout) -> Any:
    """int64[2, places]: what an honest client gets, by the same rotations and products in the clear."""
    padded = np.zeros(laid.inputs, np.int64)
    padded[: len(bits)] = bits
    rows = np.tile(np.repeat(padded, laid.copies), (2, 1))
    plain = diagonals.Plaintexts(model, laid, placed, drawn)
    found = []
    for one, count in enumerate(laid.plan):
        total = np.zeros((2, laid.row), np.int64)
        for number, diagonal in enumerate(plain.diagonals(one)):
            giant = number // laid.giant * laid.giant if count > laid.giant else 0
            turned = np.roll(rows, -(number - giant) * laid.copies, axis=1)
            product = turned * diagonal.reshape(2, -1).astype(np.int64)
            total += np.roll(product, -giant * laid.copies, axis=1)
        total += plain.constant(one).reshape(2, -1).astype(np.int64)
        found.append(total.reshape(2, laid.inputs // count, -1).sum(axis=1) % T)
    return np.concatenate(found, axis=1)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 4), st.sampled_from([256, 1024, 2048]))
def test_places_get_their_leaves_numbers(seed: int, trees: int, depth: int, inputs: int) -> None:
    """First numbers are zero where a leaf is reached; the second ones there add up to the answer."""
    rng = np.random.default_rng(seed)
    model = ensemble(rng, trees, depth, slots=int(rng.integers(1, 200)), classes=min(trees, 3))
    laid = layout_of(model, inputs, giant=int(rng.choice([16, 32])))
    (bits,) = honest_bits(rng, 1, 200, 1)
    placed = places.place(model, laid)
    drawn = weights.draw(placed.path.shape, model.group, T)
    first, second = computed(model, placed, drawn, bits, laid)
    reached = model.reached(bits[None])[0]
    expected = np.zeros(laid.places, bool)
    expected[placed.place[: len(reached)]] = reached
    assert (np.flatnonzero(first == 0) == np.flatnonzero(expected)).all()
    for one, ranges in enumerate(laid.blocks):
        total = sum(int(second[low:high][first[low:high] == 0].sum()) for low, high in ranges)
        assert (total - int(model.sums(bits[None])[0, one])) % T == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1, 3]), st.sampled_from([256, 1024]))
def test_every_place_has_one_leaf_and_every_tree_one_copy(
    seed: int, trees: int, classes: int, inputs: int
) -> None:
    rng = np.random.default_rng(seed)
    model = ensemble(rng, trees, 3, classes=min(classes, trees), slots=inputs)
    laid = layout_of(model, inputs)
    placed = places.place(model, laid)
    assert sorted(placed.place.tolist()) == list(range(laid.places))
    where = placed.place[: len(model.tree)]
    assert (where % laid.copies == placed.copy[model.tree]).all()
    for one, ranges in enumerate(laid.blocks):
        mine = where[model.group[model.tree] == one]
        assert all(any(low <= place < high for low, high in ranges) for place in mine)
        counts = np.bincount(placed.copy[model.group == one], minlength=laid.copies)
        assert counts.max() - counts.min() <= 1


def test_impossible_leaves_are() -> None:
    path, direction = places.impossible(500, 4, 64)
    bits = honest_bits(np.random.default_rng(1), 50, 64, 1)
    assert not (bits[:, path] == direction).all(axis=2).any()


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_full_paths_reach_what_the_paths_reach(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    model = ensemble(rng, 5, depth, slots=20, stop=0.5)
    path, direction = places.full_paths(model)
    bits = honest_bits(rng, 30, 20, 1)
    assert path.shape[1] == max(2, depth)
    assert (path >= 0).all()
    assert ((bits[:, path] == direction).all(axis=2) == model.reached(bits)).all()


@pytest.mark.parametrize(
    ("trees", "depth", "plan"),
    [
        (20, 3, (128,)),
        (50, 3, (256,)),
        (100, 6, (1024, 1024, 1024, 128)),
        (49, 3, (256,)),
        (47, 3, (128, 64)),
        (310, 3, (1024, 256)),
    ],
)
def test_the_plan_is_the_smallest_with_room(trees: int, depth: int, plan: tuple[int, ...]) -> None:
    model = ensemble(np.random.default_rng(1), trees, depth, stop=0.0)
    assert layout.plan_for(model, 1024, 4096)[0] == plan


def test_a_large_ciphertext_that_is_half_empty_is_made_two() -> None:
    model = ensemble(np.random.default_rng(1), 90, 3, stop=0.0)
    assert layout.plan_for(model, 1024, 4096)[0] == (256, 128)


def test_what_no_layout_has() -> None:
    model = ensemble(np.random.default_rng(1), 4, 3)
    for inputs in (1000, 4096):
        with pytest.raises(UsageError, match="power of two"):
            layout.plan_for(model, inputs, 4096)
    with pytest.raises(UsageError, match="outside"):
        layout.plan_for(model, 256, 4096)
    small = Layout(4096, T, 1024, (4,), 16, (((0, 8),),))
    with pytest.raises(UsageError, match="too small"):
        places.place(model, small)
