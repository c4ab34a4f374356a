"""Packing. Invariants: every reading has one place; columns of patients never overlap; few packs are used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_server.analysis.errors import UnusableReadings
from pericard_server.analysis.packing import HEART_RATE_BPM, Encoding, pack

SLOTS, MAX_PACKS = 8, 4


@given(st.lists(st.integers(0, 70), max_size=30))
def test_every_reading_is_in_its_patients_columns_and_nowhere_else(sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    patients = [rng.uniform(-1, 1, size) + np.complex128(1j) for size in sizes]
    jobs = pack(patients, SLOTS, MAX_PACKS)
    found: list[list[complex]] = [[] for _ in sizes]
    for job in jobs:
        rows, slots = job.packs.shape
        assert slots == SLOTS
        assert 1 <= rows <= MAX_PACKS
        rest = np.ones(SLOTS, bool)
        for index, columns in job.columns:
            assert rest[columns].all()
            rest[columns] = False
            block = job.packs[:, columns].ravel()
            found[index] += [z for z in block if z != 0]
        assert not job.packs[:, rest].any()
    for values, places in zip(patients, found, strict=True):
        assert np.array_equal(np.array(places, np.complex128), values)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=SLOTS))
def test_a_job_has_the_fewest_packs_that_hold_it(sizes: list[int]) -> None:
    for job in pack([np.full(size, 1j) for size in sizes], SLOTS, MAX_PACKS):
        held: dict[int, int] = {}
        for index, columns in job.columns:
            held[index] = int(job.packs[:, columns].imag.sum())
        rows = len(job.packs)
        assert rows == 1 or sum(-(-size // (rows - 1)) for size in held.values()) > SLOTS


def test_a_full_job_wastes_no_place() -> None:
    (job,) = pack([np.full(SLOTS * MAX_PACKS, 1 + 1j)], SLOTS, MAX_PACKS)
    assert (job.packs == 1 + 1j).all()


@given(st.floats(-181, 331))
def test_an_encoding_is_undone(reading: float) -> None:
    (encoded,) = HEART_RATE_BPM.encode([reading])
    assert -1 <= encoded <= 1
    assert HEART_RATE_BPM.mean(encoded) == pytest.approx(reading, abs=1e-12)


@pytest.mark.parametrize("readings", [[332.0], [-182.0], [float("nan")], [float("inf")], [[60.0]], 60.0])
def test_readings_that_cannot_be_encoded_are_refused(readings: object) -> None:
    with pytest.raises(UnusableReadings):
        HEART_RATE_BPM.encode(readings)  # type: ignore[arg-type]


def test_a_variance_scales_by_the_square() -> None:
    readings = np.array([50.0, 60.0, 100.0])
    encoding = Encoding(centre=70, half_range=40)
    assert encoding.variance(encoding.encode(readings).var()) == pytest.approx(readings.var())
