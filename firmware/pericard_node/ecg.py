"""Finds heartbeats in a sampled ECG, one sample at a time, in integers and bounded memory.

The steps are those of Pan and Tompkins (IEEE Trans. Biomed. Eng. 32(3), 1985): band-pass, slope, square,
moving sum; then a peak of the band-passed wave is a beat where both it and the energy around it pass a
threshold between the running level of noise and that of beats; after a gap of one and two thirds of the usual
interval the highest peak left out is judged again at half the thresholds. Soon after a beat a peak that rises
less than half as steeply is its T wave.

Four things are otherwise (docs/adr/0011). The wave is taken without its sign: an electrode may lie either
way, and a premature beat may point down. Of the peaks in one refractory time only the highest is judged, as
in Hamilton's open source detector (Computers in Cardiology 29, 2002): a beat is where its R wave is. A beat
has to pass a quarter of the height, but a sixteenth of the energy, which is a square. And the band-pass
turns no phase: it is the difference of two moving averages that share their centre, additions only. With a
turned one the slow rise of a T wave or of a wide beat counts for a slope. For the same reason the energy is
taken from a window centred on the peak: the wave waits for it in a delay line.
"""

from array import array

from pericard_node.moving import BandPass, Delay, MovingSum

# These halve 30 and 5 Hz (see BandPass): 5 to 15 Hz is where a QRS complex has most of its power, and the
# method's range.
_SHORT_MS = 20
_LONG_MS = 120
_ENERGY_MS = 150  # about the widest QRS complex, and the method's window
# Two beats are at least this far apart: the heart's refractory time.
REFRACTORY_MS = 200
# Up to here after a beat a peak may be its T wave: one that rises less than half as steeply is.
_T_WAVE_MS = 360
# The first levels are learnt from two seconds, which hold a beat at 30 a minute; it judges after one of them.
_LEARNING_SECONDS = 2
# After each gap of one and two thirds of the usual interval the thresholds for what was left out are halved,
# to an eighth at most: the method halves once, and loses a wave that a moved electrode made much smaller.
_HALVINGS = 3
# The usual interval follows those of 92 to 116 % of it, so that neither an early beat nor a gap counts; after
# eight others in a row, the method's count, the rhythm is another.
_NEW_RHYTHM = 8
# No beat for so long: the levels are those of an electrode's jerk, or of before it moved. They are learnt
# anew, as in Hamilton's detector.
_DEAF_SECONDS = 8
# A beat reaches a quarter of the usual height above the noise (Pan and Tompkins), so, the energy being a
# square, a sixteenth of its energy: at a quarter of it, wide and premature beats are lost.
_HEIGHT_SHIFT = 2
_ENERGY_SHIFT = 2 * _HEIGHT_SHIFT
_SLOPE_SHIFT = 3  # a slope of 16-bit samples, at most 6 * 2^16, then nearly fits 15 bits,
_SLOPE_LIMIT = 32767  # and what does not is cut: its square must be below 2^30, a small int on 32 bits
_NONE = (0, 0, 0, 0)  # no peak: its wave, its energy, where it was known, its steepest step


class _Levels:
    """The running heights of beats and of noise, and the threshold between them."""

    def __init__(self, shift):
        """The threshold is the 2^shift-th part of the way from noise to beats."""
        self._shift = shift
        self.forget()

    def forget(self):
        """Nothing is known."""
        self._beat = self._noise = 0

    def learn(self, height):
        """While nothing is known, the highest stands for a beat and the mean for noise."""
        if height > self._beat:
            self._beat = height
        self._noise += (height - self._noise) >> 6

    def passed_by(self, height, halvings=0):
        """Whether `height` is a beat's, the threshold halved so many times."""
        return height > (self._noise + ((self._beat - self._noise) >> self._shift)) >> halvings

    def beat(self, height, shift):
        """A beat of that height; `shift` is how slowly the level follows."""
        self._beat += (height - self._beat) >> shift

    def noise(self, height):
        """A peak of that height that was none."""
        self._noise += (height - self._noise) >> 3


class BeatDetector:
    """Feed it samples; it says where the last beat was, half a second after it."""

    def __init__(self, rate):
        """`rate` in samples a second, 100 to 1000; samples are signed and of 16 bits."""
        self.rate = rate
        self._band = BandPass(rate * _SHORT_MS // 1000, rate * _LONG_MS // 1000)
        self._energy = MovingSum(rate * _ENERGY_MS // 1000)
        self._waiting = Delay(self._energy.n // 2 + 2)
        self._late = self._band.late + self._waiting.n + 1  # how long after a peak it is known for one
        self._refractory = rate * REFRACTORY_MS // 1000
        self._t_wave = rate * _T_WAVE_MS // 1000
        self._before = array("i", (0, 0, 0, 0))
        self._n = 0
        self._learning = _LEARNING_SECONDS * rate  # samples still to learn from
        self._waves = _Levels(_HEIGHT_SHIFT)
        self._energies = _Levels(_ENERGY_SHIFT)
        self._wave = 0  # the band-passed wave without its sign, one sample ago
        self._rise = 0  # its steepest step since it last fell
        self._last = 0  # where the last beat was,
        self._last_rise = 0  # and its steepest step
        self._usual = rate  # the usual interval, a second to begin with
        self._odd = _NEW_RHYTHM - 2  # intervals far from it in a row: the second settles the first usual one
        self._best = _NONE  # the highest peak of this refractory time, judged when that is over
        self._missed = _NONE  # the highest peak taken for noise since the last beat

    def feed(self, sample):
        """Takes one sample; returns the number of the sample of a beat found now, else -1."""
        n = self._n
        self._n = n + 1
        band = self._band.push(sample)
        before = self._before
        slope = (2 * band + before[3] - before[1] - 2 * before[0]) >> _SLOPE_SHIFT
        before[0] = before[1]
        before[1] = before[2]
        before[2] = before[3]
        before[3] = band
        if not -_SLOPE_LIMIT <= slope <= _SLOPE_LIMIT:
            slope = _SLOPE_LIMIT
        energy = self._energy.push(slope * slope >> 4)
        wave = self._waiting.push(abs(band))
        peak = self._wave
        self._wave = wave
        if self._learning and energy:
            self._learn(n, wave, energy)
        if self._learning > self.rate:
            return -1
        beat = -1
        if self._best[0] and n - self._best[2] > self._refractory:
            beat = self._judge()
        if wave > peak:
            if wave - peak > self._rise:
                self._rise = wave - peak
        elif self._rise:
            rise = self._rise
            self._rise = 0
            if n - self._last > self._refractory and peak > self._best[0]:
                self._best = (peak, energy, n, rise)
        return beat

    def _learn(self, n, wave, energy):
        self._learning -= 1
        self._waves.learn(wave)
        self._energies.learn(energy)
        if self._learning == self.rate:
            self._last = n
            self._best = _NONE

    def _judge(self):
        """Whether the peak that nothing near it surpassed is a beat, or else one before it was."""
        wave, energy, n, rise = best = self._best
        self._best = _NONE
        since = n - self._last
        steep = since >= self._t_wave or rise >= self._last_rise >> 1
        if steep and self._waves.passed_by(wave) and self._energies.passed_by(energy):
            return self._take(best, 3)
        self._waves.noise(wave)
        self._energies.noise(energy)
        if wave > self._missed[0]:
            self._missed = best
        halvings = min(3 * since // (5 * self._usual), _HALVINGS)
        if halvings:
            wave, energy, _, _ = self._missed
            if self._waves.passed_by(wave, halvings) and self._energies.passed_by(energy, halvings):
                return self._take(self._missed, 2)
        if since > _DEAF_SECONDS * self.rate:
            self._learning = _LEARNING_SECONDS * self.rate
            self._waves.forget()
            self._energies.forget()
            self._missed = _NONE
        return -1

    def _take(self, peak, shift):
        """Takes a peak for a beat; `shift` is how slowly the levels follow it."""
        wave, energy, at, self._last_rise = peak
        self._waves.beat(wave, shift)
        self._energies.beat(energy, shift)
        interval = at - self._last
        if 92 * self._usual < 100 * interval < 116 * self._usual:
            self._usual += (interval - self._usual) >> 3
            self._odd = 0
        else:
            self._odd += 1
            if self._odd == _NEW_RHYTHM:
                self._usual = interval
                self._odd = 0
        self._last = at
        self._missed = _NONE
        return at - self._late
