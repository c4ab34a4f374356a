"""Finds pulses in a sampled photoplethysmogram, one sample at a time, in integers and bounded memory.

The method is that of Elgendi, Norton, Brearley, Abbott and Schuurmans (PLoS ONE 8(10), 2013, e76585): band-
pass, what is above zero squared; where its average over a pulse's peak exceeds its average over a beat there
is a pulse, if for long enough, and its place is the highest sample there. A detector of QRS complexes hears
steep slopes, which a pulse has not.
"""

from pericard_node.moving import BandPass, Delay, MovingSum

# 8 and 0.5 Hz, the method's band: see BandPass.
_SHORT_MS = 75
_LONG_MS = 1200
_PEAK_MS = 111  # the method's W1, about a systolic peak
_BEAT_MS = 667  # W2, about a beat
_OFFSET = 50  # 1 / beta: the threshold is 2 % of the mean above the average over a beat
_MEAN_SHIFT = 10  # the mean is that of about the last 2^10 samples, 10 s at 100 a second
REFRACTORY_MS = 300  # the method's: two pulses are at least this far apart
# Up to here after a pulse a peak less than a quarter as high is the wave that the body throws back. It comes
# 0.3 to 0.45 s after it, the band-pass makes that later, and a slow heart's is past the refractory time.
_THROWN_BACK_MS = 700


class PulseDetector:
    """Feed it samples; it says where the last pulse was, about a second and a half after it."""

    def __init__(self, rate):
        """`rate` in samples a second, 50 to 1000; samples are signed and of 16 bits, more blood is more."""
        self.rate = rate
        self._band = BandPass(rate * _SHORT_MS // 1000, rate * _LONG_MS // 1000)
        self._peak = MovingSum(rate * _PEAK_MS // 1000)
        self._beat = MovingSum(rate * _BEAT_MS // 1000)
        # Both averages and the wave are of the same instant.
        self._peak_waits = Delay((self._beat.n - self._peak.n) // 2)
        self._wave_waits = Delay(self._beat.n // 2)
        self._late = self._band.late + self._wave_waits.n
        # Squared and summed over a beat, what is left of 15 bits is a small int on 32 bits.
        self._shift = 0
        while (32767 >> self._shift) ** 2 * self._beat.n >= 1 << 30:
            self._shift += 1
        self._refractory = rate * REFRACTORY_MS // 1000
        self._mean = 0
        self._n = 0
        self._width = 0  # how long the peak's average has been above the beat's
        self._best = 0  # the highest sample of it,
        self._best_at = 0  # and where
        self._thrown_back = rate * _THROWN_BACK_MS // 1000
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
        if since < self._thrown_back and height < self._last_height >> 2:
            return -1
        self._last = self._best_at
        self._last_height = height
        return self._last
