"""What is drawn has the distribution that the argument needs: bounds fail once in 10,000 runs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_cloud.prediction import weights
from pericard_cloud.prediction.randomness import below, gaussian, permutation, permutations
from pericard_protocol.prediction.parameters import S1, S3


def chi_square(counts: np.ndarray) -> float:
    """In deviations of the normal that it nears."""
    expected = counts.sum() / len(counts)
    freedom = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


@given(st.integers(2, 2**31), st.integers(0, 300), st.integers(0, 1))
def test_values_are_within_their_range(modulus: int, count: int, least: int) -> None:
    values = below(modulus, count, least)
    assert values.shape == (count,)
    assert ((values >= least) & (values < modulus)).all()


@pytest.mark.parametrize("modulus", [40961, 65537, 3, 3 << 30])
def test_values_are_uniform(modulus: int) -> None:
    """Of 3·2**30, every fourth word is drawn again: without that the lower third came twice as often."""
    values = below(modulus, 300_000)
    counts = np.bincount((values * np.uint64(min(modulus, 64)) // np.uint64(modulus)).astype(int))
    assert chi_square(counts) < 5
    naive = np.random.default_rng(1).integers(0, 1 << 32, 300_000).astype(np.uint64) % np.uint64(3 << 30)
    assert chi_square(np.bincount((naive * np.uint64(64) // np.uint64(3 << 30)).astype(int))) > 100


def test_permutations_are_uniform() -> None:
    drawn = permutations(60_000, 4)
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    counts = np.unique(drawn @ (4 ** np.arange(4)), return_counts=True)[1]
    assert len(counts) == 24
    assert chi_square(counts) < 5
    assert sorted(permutation(1000).tolist()) == list(range(1000))


def _deviation(modulus: int, plain: int) -> float:
    return modulus / (2 * plain) / 8.3


@pytest.mark.parametrize(
    "deviation",
    [
        3.2,
        1e6,
        _deviation(math.prod(S1.data_primes), S1.plain),
        _deviation(math.prod(S3.data_primes), S3.plain),
    ],
)
def test_the_gaussian_has_its_shape(deviation: float) -> None:
    count = 200_000
    drawn = gaussian(count, deviation)
    scaled = np.sort((drawn / deviation).astype(np.float64))
    assert abs(scaled.mean()) < 4 / math.sqrt(count)
    assert scaled.std() == pytest.approx(1, abs=4 / math.sqrt(2 * count) + 0.01 / deviation)
    # Kolmogorov and Smirnov: passes 2.2 / sqrt(n) once in 10,000 times; small ones are rounded, too
    cumulated = np.array([(1 + math.erf(value / math.sqrt(2))) / 2 for value in scaled[::20]])
    rank = np.arange(0, count, 20) / count
    assert np.abs(cumulated - rank).max() < 2.2 / math.sqrt(count) + 0.5 / deviation
    assert 3.5 < np.abs(scaled).max() < 8.7


@pytest.mark.parametrize("parameters", [S1, S3])
def test_the_wide_gaussian_is_random_down_to_its_last_bit(parameters: object) -> None:
    """A rounded double has 53 bits: of 88, the last 35 would be zeros that show what was added."""
    assert parameters in (S1, S3)
    one = S1 if parameters is S1 else S3
    deviation = _deviation(math.prod(one.data_primes), one.plain)
    drawn = gaussian(20_000, deviation)
    for shift in range(0, int(math.log2(deviation)) - 8, 4):
        low = np.array([int(value) >> shift & 15 for value in drawn])
        assert chi_square(np.bincount(low, minlength=16)) < 6
    doubles = [round(value * deviation) for value in np.random.default_rng(1).normal(size=1000)]
    if one is S3:
        assert not any(value & 0xFF for value in doubles if abs(value) > 2**70)


def test_the_gaussian_is_as_wide_as_asked_for_in_every_type() -> None:
    assert gaussian(5, 2.0**52).dtype == np.int64
    assert gaussian(5, 2.0**88).dtype == object
    assert gaussian(7, 10.0).shape == (7,)


@given(st.integers(1, 6), st.sampled_from([17, 257, 40961]))
def test_no_subset_of_a_leafs_weights_vanishes(depth: int, modulus: int) -> None:
    depth = min(depth, 3) if modulus == 17 else depth
    a = weights.contradicting(60, depth, modulus).astype(int)
    for chosen in range(1, 1 << depth):
        subset = [i for i in range(depth) if chosen >> i & 1]
        assert (a[:, subset].sum(axis=1) % modulus).all()


def test_each_sum_of_contradictions_is_uniform_without_zero() -> None:
    a = weights.contradicting(200_000, 3, 257).astype(int)
    for subset in ([0], [1, 2], [0, 1, 2]):
        counts = np.bincount(a[:, subset].sum(axis=1) % 257, minlength=257)
        assert counts[0] == 0
        assert chi_square(counts[1:]) < 5


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_shares_of_a_class_sum_to_zero(groups: list[int]) -> None:
    group = np.array(groups, np.int32)
    share = weights.shares(group, 40961)
    for one in set(groups):
        assert int(share[group == one].sum()) % 40961 == 0
