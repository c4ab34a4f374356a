"""What a heart sensor gives: readings, and where it samples an ECG, blocks of it.

A driver has `read()`, which waits for the next and returns it: a `Reading`, a `Block`, or None where there
was neither for a while. `rejected` counts the beats that it did not believe.
"""

import json
import time
from collections import namedtuple

# A beat-to-beat interval outside these (250 to 20 beats a minute) is a missed or invented beat, not a heart.
SHORTEST_RR_MS = 240
LONGEST_RR_MS = 3000

RECORDING_PATH = "/recording.json"

# `seconds`: whole ones since the sensor started; a chip's floats have 24 bits, too few for a clock.
Reading = namedtuple("Reading", ("seconds", "heart_rate_bpm"))
# `samples`: an array of signed 16-bit values from sample number `first` on, `rate` a second.
Block = namedtuple("Block", ("first", "rate", "samples"))


def believable(interval_ms):
    """Whether a beat-to-beat interval is a heart's."""
    return SHORTEST_RR_MS <= interval_ms <= LONGEST_RR_MS


class RecordingSensor:
    """Replays beat-to-beat intervals from flash: {"speed", "rr_ms": [...]}, again from the start at the end.

    `speed` 10 replays ten seconds in one. Time is the recording's own, so that readings are the same at any
    speed. A bad interval gives no reading, and its time passes.
    """

    def __init__(self, path=RECORDING_PATH):
        """Reads the recording whole: a few hundred small integers."""
        with open(path) as file:
            recording = json.load(file)
        self._intervals = recording["rr_ms"]
        self._speed = recording["speed"]
        if not any(believable(interval) for interval in self._intervals) or self._speed <= 0:
            raise ValueError(path + " holds no usable beat")
        self._next = 0
        self._elapsed_ms = 0
        self._due = time.ticks_ms()
        self.rejected = 0

    def read(self):
        """The reading of the next good beat, when it is due."""
        while True:
            interval = self._intervals[self._next]
            self._next = (self._next + 1) % len(self._intervals)
            self._elapsed_ms += interval
            self._due = time.ticks_add(self._due, max(1, round(interval / self._speed)))
            if believable(interval):
                break
            self.rejected += 1
        wait = time.ticks_diff(self._due, time.ticks_ms())
        if wait > 0:
            time.sleep_ms(wait)
        return Reading(self._elapsed_ms // 1000, round(60000 / interval, 1))


def open_sensor(chosen):
    """The driver that the settings name, each loaded only where it is used."""
    if chosen.SENSOR == "recording":
        return RecordingSensor()
    if chosen.SENSOR in ("waveform", "max30102", "ad8232"):
        from pericard_node import sampled

        return sampled.open_sensor(chosen)
    raise ValueError("config.py: SENSOR is none of recording, waveform, max30102, ad8232")
