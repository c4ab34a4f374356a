"""The node's pulse detector on pulses whose times are known, since they are laid here.

A pulse is two bells, the ejected blood and the wave that the body throws back (Tang, Chen, Ward and Elgendi,
Scientific Reports 10, 2020, 13883), one interval of the shipped ECG's heart after the other.
"""

import numpy as np
import pytest
from tests.parts.heartbeats import Wave, compared, detected, shipped_ecg
from tests.parts.micropython import FIRMWARE


@pytest.fixture(autouse=True)
def _firmware_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FIRMWARE))


def _pulses(intervals: list[float], rate: int, height: float) -> tuple[Wave, Wave]:
    """The wave, `height` high, and the seconds of its pulses' peaks, from intervals in seconds."""
    onsets = np.cumsum([1.0, *intervals])
    seconds = np.arange(0, onsets[-1] + 2, 1 / rate)
    wave = np.zeros_like(seconds)
    for onset, interval in zip(onsets, [*intervals, intervals[-1]], strict=True):
        for share, at, width in ((1.0, 0.3, 0.1), (0.45, 0.65, 0.12)):
            wave += (
                share * height * np.exp(-(((seconds - onset - at * interval) / (width * interval)) ** 2) / 2)
            )
    return wave, onsets + 0.3 * np.array([*intervals, intervals[-1]])


def _scores(wave: Wave, rate: int, peaks: Wave) -> tuple[float, float]:
    """Sensitivity and positive predictivity beside the peaks, to 0.1 s, the first and last 3 s left out."""
    from pericard_node.ppg import PulseDetector  # type: ignore[import-not-found]

    detector = PulseDetector(rate)
    samples = np.clip(np.round(wave), -32768, 32767).astype(int).tolist()
    found = np.array([pulse for sample in samples if (pulse := detector.feed(sample)) >= 0])
    laid = np.round(peaks * rate).astype(int)
    settled = 3 * rate
    due = laid[(laid > settled) & (laid < len(wave) - settled)]
    said = found[(found > settled) & (found < len(wave) - settled)]
    missed = compared(found, due, rate // 10).missed
    right = compared(said, laid, rate // 10).right
    return 1 - len(missed) / len(due), len(right) / len(said)


@pytest.mark.parametrize("rate", [100, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "height", [pytest.param(150, marks=pytest.mark.slow), 2600, pytest.param(20000, marks=pytest.mark.slow)]
)
def test_it_finds_a_real_hearts_pulses_weak_or_strong(rate: int, height: float) -> None:
    """2600 is a usual pulse in the MAX30102's 18 bits, about a hundredth of the light."""
    ecg, ecg_rate = shipped_ecg()
    intervals = (np.diff(detected(ecg, ecg_rate)) / ecg_rate).tolist()
    wave, peaks = _pulses(intervals, rate, height)
    seconds = np.arange(len(wave)) / rate
    breath = 0.3 * height * np.sin(2 * np.pi * 0.25 * seconds)
    noise = np.random.default_rng(1).normal(0, 0.02 * height, len(wave))
    sensitivity, predictivity = _scores(wave + breath + noise, rate, peaks)
    assert sensitivity >= 0.98
    assert predictivity >= 0.98


@pytest.mark.parametrize("bpm", [40, 60, 120, 180])
def test_the_reflected_wave_is_no_pulse(bpm: int) -> None:
    wave, peaks = _pulses([60 / bpm] * 60, 100, 2600)
    sensitivity, predictivity = _scores(wave, 100, peaks)
    assert sensitivity == 1
    assert predictivity == 1


@pytest.mark.parametrize("rate", [50, 100, 1000])
def test_no_samples_make_a_number_above_a_small_int(rate: int) -> None:
    from pericard_node.ppg import PulseDetector

    for half in (rate // 20, rate // 2, rate):
        detector = PulseDetector(rate)
        for n in range(4 * rate):
            detector.feed(32767 if n // half % 2 else -32768)
            assert detector._beat.total < 1 << 30


def test_a_flat_line_has_no_pulses() -> None:
    from pericard_node.ppg import PulseDetector

    detector = PulseDetector(100)
    assert all(detector.feed(0) < 0 for _ in range(1000))
