"""Replaces the sensor on a board that has none: replays a heart's beat-to-beat intervals from flash."""

import json
import time

from pericard_node.reading import Reading, believable

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
