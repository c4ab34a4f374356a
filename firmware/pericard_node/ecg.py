"""Finds heartbeats in a sampled ECG, one sample at a time, in integers and bounded memory.

The steps are those of Pan and Tompkins (IEEE Trans. Biomed. Eng. 32(3), 1985): band-pass, slope, square,
moving sum; then a peak is a beat where both the moving sum and the band-passed wave pass a threshold between
the running levels of beats and of noise, and after a gap of one and two thirds of the usual interval the best
peak left out is taken back. The band-pass is the difference of two moving averages: additions only.

Like that method it follows upright R waves: a wide beat that points down in the lead is left out.
"""

from array import array

# Two beats are at least this far apart: the heart's refractory time.
REFRACTORY_MS = 200
_SLOPE_SHIFT = 4  # keeps the square of a slope within 30 bits: samples have at most 16


class _MovingSum:
    """The sum of the last n values."""

    def __init__(self, n):
        self._values = array("i", bytes(4 * n))
        self._at = 0
        self.n = n
        self.total = 0

    def push(self, value):
        """Takes a value; returns the sum."""
        at = self._at
        self.total += value - self._values[at]
        self._values[at] = value
        at += 1
        self._at = 0 if at == self.n else at
        return self.total


class _Levels:
    """The running heights of beats and of noise, and the threshold between them."""

    def __init__(self):
        self._beat = self._noise = 0

    def learn(self, height):
        """While nothing is known, the highest peak stands for a beat."""
        self._beat = max(self._beat, height >> 1)
        self._noise = self._beat >> 3

    def passed_by(self, height, shift=0):
        """Whether `height` is a beat's; `shift` 1 halves the threshold."""
        return height > (self._noise + ((self._beat - self._noise) >> 2)) >> shift

    def beat(self, height, shift=3):
        """A beat of that height; `shift` is how slowly the level follows."""
        self._beat += (height - self._beat) >> shift

    def noise(self, height):
        """A peak of that height that was none."""
        self._noise += (height - self._noise) >> 3


class BeatDetector:
    """Feed it samples; it says where the last beat was, some tenths of a second after it."""

    def __init__(self, rate):
        """`rate` in samples a second, 100 to 1000; samples are signed and of 16 bits."""
        self.rate = rate
        self._short = _MovingSum(max(1, rate // 30))  # takes out what is faster than a QRS complex
        self._long = _MovingSum(rate // 5)  # and this what is slower
        self._energy = _MovingSum(rate * 3 // 20)  # 150 ms, about a wide QRS complex
        self._refractory = rate * REFRACTORY_MS // 1000
        self._before = array("i", (0, 0, 0, 0))
        self._n = 0
        self._energies = _Levels()
        self._waves = _Levels()
        self._peak = 0  # the highest energy since it last fell to half,
        self._peak_at = 0  # where that was,
        self._wave = 0  # and the highest band-passed wave up to there
        self._last = -1  # where the last beat was
        self._usual = rate  # the usual interval, a second to begin with
        self._missed = (0, 0, 0)  # the best peak taken for noise since the last beat: energy, wave, where

    def feed(self, sample):
        """Takes one sample; returns the number of the sample of a beat found now, else -1."""
        n = self._n
        self._n = n + 1
        short = self._short
        long = self._long
        band = (short.push(sample) * long.n - long.push(sample) * short.n) // (short.n * long.n)
        before = self._before
        slope = (2 * band + before[3] - before[1] - 2 * before[0]) >> _SLOPE_SHIFT
        before[0] = before[1]
        before[1] = before[2]
        before[2] = before[3]
        before[3] = band
        energy = self._energy.push(slope * slope >> _SLOPE_SHIFT)
        if band > self._wave:
            self._wave = band
        if energy > self._peak:
            self._peak = energy
            self._peak_at = n
        elif energy < self._peak >> 1:
            peak, wave, at = self._peak, self._wave, self._peak_at
            self._peak = energy
            self._peak_at = n
            self._wave = 0
            return self._judge(peak, wave, at)
        if self._last >= 0 and n - self._last > self._usual * 5 // 3:
            peak, wave, at = self._missed
            if self._energies.passed_by(peak, 1) and self._waves.passed_by(wave, 1):
                return self._take(peak, wave, at, 2)
        return -1

    def _judge(self, peak, wave, at):
        """Whether a peak of the energy is a beat."""
        if self._n < 2 * self.rate:
            self._energies.learn(peak)
            self._waves.learn(wave)
        if self._last >= 0 and at - self._last < self._refractory:
            return -1
        if self._energies.passed_by(peak) and self._waves.passed_by(wave):
            return self._take(peak, wave, at, 3)
        self._energies.noise(peak)
        self._waves.noise(wave)
        if peak > self._missed[0]:
            self._missed = (peak, wave, at)
        return -1

    def _take(self, peak, wave, at, shift):
        self._energies.beat(peak, shift)
        self._waves.beat(wave, shift)
        if self._last >= 0 and at - self._last < 3 * self.rate:
            self._usual += (at - self._last - self._usual) >> 3
        self._last = at
        self._missed = (0, 0, 0)
        # The energy's peak comes after the R wave by half of its window.
        return at - self._energy.n // 2
