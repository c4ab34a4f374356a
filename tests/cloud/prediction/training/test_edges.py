"""An edge parts doubles exactly as a tree that compares 32 bits parts them."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pericard_cloud.prediction.training.edges import (
    edge_of,
    edge_under,
    fewer_edges,
    in_bins,
    input_slots,
    most_edges,
    quantile_edges,
    threshold_edges,
)
from pericard_cloud.prediction.training.errors import CannotTrain

singles = st.floats(-(2.0**100), 2.0**100, width=32)
doubles = st.floats(-(2.0**100), 2.0**100)


def to_single(value: float) -> float:
    """Rounded to 32 bits by the C library."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def neighbours(value: float) -> list[float]:
    low, high = np.nextafter(value, -np.inf), np.nextafter(value, np.inf)
    return [float(low), value, float(high)]


@given(singles, doubles)
@example(1.0, 1.0)
@example(0.0, -1e-46)
def test_an_edge_is_where_a_single_reaches_the_threshold(threshold: float, value: float) -> None:
    edge = edge_of(threshold)
    for one in (value, *neighbours(threshold), *neighbours(edge)):
        assert (one > edge) == (to_single(one) >= threshold)


@given(doubles, doubles)
@example(1.0, 1.0)
@example(1.0 + 2**-24, 1.0)
def test_an_edge_is_where_a_single_passes_the_threshold(threshold: float, value: float) -> None:
    edge = edge_under(threshold)
    for one in (value, *neighbours(threshold), *neighbours(edge)):
        assert (one > edge) == (to_single(one) > threshold)


@given(st.lists(doubles, min_size=1, max_size=200), st.integers(1, 63))
def test_quantile_edges_rise_and_are_no_more_than_asked_for(values: list[float], most: int) -> None:
    edges = quantile_edges(np.array(values), most)
    assert 1 <= len(edges) <= most
    assert (np.diff(edges) > 0).all()


def test_few_values_are_all_told_apart() -> None:
    values = np.array([1.0, 2.0, 5.0, 1.0])
    edges = quantile_edges(values, 2)
    assert edges.tolist() == [1.5, 3.5]
    assert in_bins(values[:, None], (edges,))[:, 0].tolist() == [0, 1, 2, 0]


def test_many_values_are_parted_evenly() -> None:
    values = np.random.default_rng(1).normal(size=10_000)
    counts = np.bincount(in_bins(values[:, None], (quantile_edges(values, 9),))[:, 0])
    assert len(counts) == 10
    assert counts.min() > 990


@pytest.mark.parametrize(
    ("features", "most"), [(1, 63), (16, 63), (17, 60), (30, 34), (64, 16), (128, 8), (129, 15), (2048, 1)]
)
def test_edges_fit_the_input(features: int, most: int) -> None:
    assert most_edges(features) == most
    assert features * most <= input_slots(features, most) <= 2048


@pytest.mark.parametrize("features", [0, 2049])
def test_too_many_features_do_not(features: int) -> None:
    with pytest.raises(CannotTrain, match="features"):
        most_edges(features)


def test_an_input_is_a_power_of_two() -> None:
    assert [input_slots(1, 1), input_slots(30, 34), input_slots(2, 63), input_slots(33, 32)] == [
        256,
        1024,
        256,
        2048,
    ]
    with pytest.raises(CannotTrain, match="need 2079 slots"):
        input_slots(33, 63)


def test_edges_of_thresholds() -> None:
    feature, edge = np.array([0, 2, 0, 0]), np.array([3.0, 1.0, 2.0, 3.0])
    edges = threshold_edges(3, feature, edge, [9.0, 8.0, 7.0])
    assert [one.tolist() for one in edges] == [[2.0, 3.0], [8.0], [1.0]]


def test_fewer_edges_keep_the_ends_and_move_the_others_to_a_neighbour() -> None:
    kept, instead = fewer_edges((np.arange(10.0), np.array([5.0])), 4)
    assert [one.tolist() for one in kept] == [[0.0, 3.0, 6.0, 9.0], [5.0]]
    assert instead[0].tolist() == [0, 0, 3, 3, 3, 6, 6, 6, 9, 9]
