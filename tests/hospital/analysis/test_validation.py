"""Validation. Invariant: exact sums pass; a change of any slot by more than the tolerance is WrongResult."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.fhe.parameters import MOMENTS
from pericard_server.analysis.errors import PackingFault, WrongResult
from pericard_server.analysis.validation import check, check_patient, tolerance

PACKS = np.random.default_rng(3).uniform(-1, 1, (5, MOMENTS.slots)) + np.complex128(1j)
TOTAL, SQUARES = PACKS.sum(axis=0), (PACKS**2).sum(axis=0)
ALLOWED = tolerance(MOMENTS, len(PACKS))


def test_the_right_sums_pass() -> None:
    check(PACKS, TOTAL, SQUARES, ALLOWED)


@given(
    st.booleans(), st.integers(0, MOMENTS.slots - 1), st.sampled_from([1, -1, 1j, -1j]), st.floats(1.01, 1e12)
)
def test_one_slot_beyond_the_tolerance_is_wrong(
    of_total: bool, slot: int, way: complex, times: float
) -> None:
    total, squares = TOTAL.copy(), SQUARES.copy()
    if of_total:
        total[slot] += way * times * ALLOWED.total
    else:
        squares[slot] += way * times * ALLOWED.squares
    with pytest.raises(WrongResult) as caught:
        check(PACKS, total, squares, ALLOWED)
    assert str(slot) not in str(caught.value)


@pytest.mark.parametrize("bad", [np.full(MOMENTS.slots, np.nan), TOTAL[:-1], np.append(TOTAL, 0)])
def test_what_is_no_number_or_no_slot_is_wrong(bad: np.ndarray) -> None:
    with pytest.raises(WrongResult):
        check(PACKS, bad.astype(np.complex128), SQUARES, ALLOWED)


def test_the_tolerance_matters_to_nobody_but_a_cheat() -> None:
    """At the largest job, in heart rates: below a thousandth of a beat."""
    largest = tolerance(MOMENTS, MOMENTS.max_packs)
    assert 256 * largest.mean < 1e-3
    assert 256**2 * largest.variance < 1e-2


def _exceeds(deviations: float) -> float:
    """P(|X S| > t), X and S complex Gaussian of mean square 1: the integral of exp(-u - t^2/u) over u."""
    logarithm = np.linspace(-20, 8, 20_000)
    u = np.exp(logarithm)
    return float(np.trapezoid(np.exp(-u - deviations**2 / u) * u, logarithm))


def test_noise_has_the_tail_of_a_product_and_no_honest_job_meets_it() -> None:
    """Roundings and secrets as SEAL draws them, transformed to slots: their tail, and what lies beyond 20."""
    dice, degree = np.random.default_rng(7), MOMENTS.degree
    roots = np.exp(-1j * np.pi * np.arange(degree) / degree)  # slots are at the odd powers of a 2N-th root

    def slots(coefficients: np.ndarray) -> np.ndarray:
        return np.fft.fft(coefficients * roots, axis=1)[:, : MOMENTS.slots]

    rounding = slots(dice.uniform(-0.5, 0.5, (100, degree)))
    noise = np.abs(rounding * slots(dice.integers(-1, 2, (100, degree))))
    sigma = np.sqrt(degree * (2 * degree / 3) / 12)
    for deviations in (1, 2, 3):
        assert np.mean(noise > deviations * sigma) == pytest.approx(_exceeds(deviations), rel=0.1)
    assert tolerance(MOMENTS, 1).total * MOMENTS.scale / sigma == pytest.approx(20, rel=1e-3)
    assert 2 * MOMENTS.slots * _exceeds(20) < 1e-12  # of a job's slots, any


@pytest.mark.parametrize(
    ("found", "clear", "right"),
    [
        (60.0, 60.0, True),
        (60.009, 60.0, True),
        (None, None, True),
        (60.011, 60.0, False),
        (float("nan"), 60.0, False),
        (None, 60.0, False),
        (60.0, None, False),
    ],
)
def test_a_patients_statistics_are_compared(found: float | None, clear: float | None, right: bool) -> None:
    pairs = [(1.0, 1.0, 0.0), (found, clear, 0.01)]
    if right:
        check_patient(pairs)
    else:
        with pytest.raises(PackingFault):
            check_patient(pairs)
