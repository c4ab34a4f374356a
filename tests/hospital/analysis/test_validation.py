"""Validation. Invariant: exact sums pass; a change of any slot by more than the tolerance is WrongResult."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.fhe.parameters import MOMENTS
from pericard_server.analysis.errors import WrongResult
from pericard_server.analysis.validation import check, check_patient, tolerance

PACKS = np.random.default_rng(3).uniform(-1, 1, (5, MOMENTS.slots)) + 1j
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
        with pytest.raises(WrongResult):
            check_patient(pairs)
