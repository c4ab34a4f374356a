"""Finds pulses in a sampled photoplethysmogram, one sample at a time, in integers and bounded memory.

The method is that of Elgendi, Norton, Brearley, Abbott and Schuurmans (PLoS ONE 8(10), 2013, e76585). The
wave is band-passed, and its part above zero is squared. Two moving averages of the squares are compared, one
as long as a pulse's peak and one as long as a beat. While the first is larger there may be a peak; where it
is larger for long enough, the highest sample of that time is a pulse. The detector of `ecg.py` would not do:
it looks for steep slopes, which a pulse does not have.
"""

from pericard_node.moving import BandPass, Delay, MovingSum

# With these the band-pass halves a wave of 8 Hz and one of 0.5 Hz, the method's band (see BandPass).
_SHORT_MS = 75
_LONG_MS = 1200
_PEAK_MS = 111  # the method's W1: about the length of a systolic peak
_BEAT_MS = 667  # the method's W2: about the length of a beat
_OFFSET = 50  # 1 / beta: the threshold is the average over a beat and 2 % of the mean
_MEAN_SHIFT = 10  # the mean is of about the last 2^10 samples: 10 s at 100 a second
REFRACTORY_MS = 300  # the method's: two pulses are at least this far apart
# For so long after a pulse, a peak less than a quarter as high is taken for its reflected wave, which the
# arteries send back 0.3 to 0.45 s after the pulse. The band-pass delays it further, and where the heart is
# slow it comes after the refractory time.
_REFLECTED_MS = 700


class PulseDetector:
    """Feed it samples; it says where the last pulse was, about a second and a half after it."""

    def __init__(self, rate):
        """`rate` in samples a second, 50 to 1000; samples are signed 16-bit, higher with more blood."""
        self.rate = rate
        self._band = BandPass(rate * _SHORT_MS // 1000, rate * _LONG_MS // 1000)
        self._peak = MovingSum(rate * _PEAK_MS // 1000)
        self._beat = MovingSum(rate * _BEAT_MS // 1000)
        # These delays make both averages and the wave belong to the same moment.
        self._peak_waits = Delay((self._beat.n - self._peak.n) // 2)
        self._wave_waits = Delay(self._beat.n // 2)
        self._late = self._band.late + self._wave_waits.n
        # The wave's 15 bits are shifted right until the sum of their squares over a beat is below 2^30,
        # because a larger int takes memory on a 32-bit board.
        self._shift = 0
        while (32767 >> self._shift) ** 2 * self._beat.n >= 1 << 30:
            self._shift += 1
        self._refractory = rate * REFRACTORY_MS // 1000
        self._mean = 0
        self._n = 0
        self._width = 0  # for how many samples the average over a peak has been the larger one
        self._best = 0  # the highest sample of that time
        self._best_at = 0  # the number of that sample
        self._reflected = rate * _REFLECTED_MS // 1000
        self._last = -self._refractory
        self._last_height = 0

    def feed(self, sample):
        """Takes one sample; returns the number of the sample of a pulse found now, else -1."""
        n = self._n
        self._n = n + 1
        wave = self._band.push(sample)
        high = min(max(wave, 0), 32767) >> self._shift
        square = high * high
        self._mean += (square - self._mean) >> _MEAN_SHIFT
        peak = self._peak_waits.push(self._peak.push(square)) // self._peak.n
        beat = self._beat.push(square) // self._beat.n
        wave = self._wave_waits.push(wave)
        if peak > beat + self._mean // _OFFSET:
            self._width += 1
            if wave > self._best:
                self._best = wave
                self._best_at = n - self._late
            return -1
        width, height = self._width, self._best
        self._width = self._best = 0
        since = self._best_at - self._last
        if width < self._peak.n or since < self._refractory:
            return -1
        if since < self._reflected and height < self._last_height >> 2:
            return -1
        self._last = self._best_at
        self._last_height = height
        return self._last
