"""Sensors that sample a wave: a source gives samples, a detector finds beats in them.

A source has `rate` (samples a second) and `read_into(array)`, which waits until the array of signed 16-bit
values is full.
"""

import json
import time
from array import array

from pericard_node.reading import Block, Reading, believable

# Samples in a block: 232 of 2 bytes, and 8 bytes that describe the block, fit into a frame's 480.
BLOCK_SAMPLES = 232
WAVEFORM_PATH = "/waveform.bin"


class SampledSensor:
    """Gives a reading for each beat; with `blocks`, the samples too, before the beats found in them."""

    def __init__(self, source, detector, blocks):
        """Takes samples from `source` a block at a time, and feeds `detector` each."""
        self._source = source
        self._detector = detector
        self._blocks = blocks
        self._samples = array("h", bytes(2 * BLOCK_SAMPLES))
        self._taken = 0
        self._last_beat = -1
        self._ready = []
        self.rejected = 0

    def read(self):
        """The next block or reading; None where a block's samples gave neither, as with an electrode off."""
        if not self._ready:
            self._source.read_into(self._samples)
            if self._blocks:
                self._ready.append(Block(self._taken, self._source.rate, self._samples))
            self._taken += BLOCK_SAMPLES
            for sample in self._samples:
                beat = self._detector.feed(sample)
                if beat >= 0:
                    self._take(beat)
        return self._ready.pop(0) if self._ready else None

    def _take(self, beat):
        rate = self._source.rate
        last, self._last_beat = self._last_beat, beat
        if last < 0:
            return
        interval = (beat - last) * 1000 // rate
        if believable(interval):
            self._ready.append(Reading(beat // rate, round(60000 / interval, 1)))
        else:
            self.rejected += 1


class RecordedSource:
    """A recorded wave from flash: one line of JSON {"rate", "speed"}, then samples as i16, big-endian."""

    def __init__(self, path=WAVEFORM_PATH):
        """Opens the file and leaves it open: it is read while it is replayed, over and over."""
        self._file = open(path, "rb")  # noqa: SIM115
        description = json.loads(self._file.readline())
        self.rate = description["rate"]
        self._speed = description["speed"]
        self._start = self._file.tell()
        self._buffer = bytearray(2 * BLOCK_SAMPLES)
        self._due = time.ticks_ms()

    def read_into(self, samples):
        """Fills `samples`, and takes the time that their recording took, divided by `speed`."""
        view = memoryview(self._buffer)[: 2 * len(samples)]
        filled = 0
        while filled < len(view):
            n = self._file.readinto(view[filled:])
            filled += n
            if not n:
                self._file.seek(self._start)
        for i in range(len(samples)):
            value = view[2 * i] << 8 | view[2 * i + 1]
            samples[i] = value - 65536 if value > 32767 else value
        self._due = time.ticks_add(self._due, round(1000 * len(samples) / self.rate / self._speed))
        wait = time.ticks_diff(self._due, time.ticks_ms())
        if wait > 0:
            time.sleep_ms(wait)
