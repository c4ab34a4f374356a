"""One reading after another, as (whole seconds since the sensor started, heart rate in beats per minute).

Drivers share one method: `read()` waits until there is a reading and returns it.
"""

import json
import time

# A beat-to-beat interval outside these (250 to 20 beats a minute) is a missed or invented beat, not a heart.
SHORTEST_RR_MS = 240
LONGEST_RR_MS = 3000

RECORDING_PATH = "/recording.json"


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
        if not any(SHORTEST_RR_MS <= rr <= LONGEST_RR_MS for rr in self._intervals) or self._speed <= 0:
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
            if SHORTEST_RR_MS <= interval <= LONGEST_RR_MS:
                break
            self.rejected += 1
        wait = time.ticks_diff(self._due, time.ticks_ms())
        if wait > 0:
            time.sleep_ms(wait)
        # Whole seconds: a chip's floats have 24 bits, too few for a clock.
        return self._elapsed_ms // 1000, round(60000 / interval, 1)


def open_sensor(name):
    """The driver that config.py names."""
    if name == "recording":
        return RecordingSensor()
    raise ValueError("SENSOR in config.py is not one of: recording")
