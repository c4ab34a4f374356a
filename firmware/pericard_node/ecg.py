"""Finds heartbeats in a sampled ECG, one sample at a time, in integers and bounded memory.

The steps are those of Pan and Tompkins (IEEE Trans. Biomed. Eng. 32(3), 1985): band-pass, slope, square,
moving sum; then a peak of the band-passed wave is a beat where both it and the energy around it pass a
threshold between the running level of noise and that of beats; after a gap of one and two thirds of the usual
interval the highest peak left out is judged again at half the thresholds. A peak soon after a beat that rises
less than half as steeply as that beat is taken for the beat's T wave.

Four things differ from their method (docs/adr/0011). The wave is taken without its sign: electrodes may be
placed either way round, and a premature beat may point down. Of the peaks in one refractory time only the
highest is judged, as in Hamilton's open source detector (Computers in Cardiology 29, 2002): it is the beat's
R wave. A beat has to pass a quarter of the height but a sixteenth of the energy, because energy grows with
the square of the height. And the band-pass delays all frequencies alike: it is the difference of two moving
averages around the same sample, which needs additions only. A filter that delays some frequencies more than
others would make a steep slope of the slow rise of a T wave or a wide beat. For the same reason the energy is
summed over a window around the peak: a delay line keeps the wave until that sum is known.
"""

from array import array

from pericard_node.moving import BandPass, Delay, MovingSum

# With these the band-pass halves a wave of 30 Hz and one of 5 Hz (see BandPass). Between 5 and 15 Hz, the
# band of Pan and Tompkins, a QRS complex has most of its power.
_SHORT_MS = 20
_LONG_MS = 120
_ENERGY_MS = 150  # about the widest QRS complex, and the window of Pan and Tompkins
# Two beats are at least this far apart: the heart's refractory time.
REFRACTORY_MS = 200
# For so long after a beat, a peak that rises less than half as steeply is taken for the beat's T wave.
_T_WAVE_MS = 360
# The first levels are learnt from two seconds of samples, in which there is a beat even at 30 a minute. Peaks
# are judged from the second of the two on.
_LEARNING_SECONDS = 2
# For each one and two thirds of the usual interval without a beat, the thresholds for the highest peak left
# out are halved, at most three times. Pan and Tompkins halve once, and so lose all beats where a moved
# electrode has made the wave much smaller.
_HALVINGS = 3
# The usual interval follows the intervals of 92 to 116 % of it, so that neither an early beat nor a missed
# one changes it. After eight other intervals in a row (Pan and Tompkins' number) the rhythm has changed: the
# last of them becomes the usual one.
_NEW_RHYTHM = 8
# After so long without a beat the levels must be too high: a jerk at an electrode raised them, or the wave
# became smaller when an electrode moved. They are learnt anew, as in Hamilton's detector.
_DEAF_SECONDS = 8
# A threshold is this part of the way from the noise to the usual beat: 2^-2, a quarter, for the height (Pan
# and Tompkins); 2^-4, its square, for the energy. At a quarter of the energy, wide and premature beats would
# be lost.
_HEIGHT_SHIFT = 2
_ENERGY_SHIFT = 2 * _HEIGHT_SHIFT
# A slope of 16-bit samples is at most 6 * 2^16: shifted right by 3 it nearly fits 15 bits, and a larger one
# is cut to the limit. Its square must be below 2^30, because a larger int takes memory on a 32-bit board.
_SLOPE_SHIFT = 3
_SLOPE_LIMIT = 32767
# A peak is (height, energy, number of the sample at which it was found, steepest step). This is none.
_NONE = (0, 0, 0, 0)


class _Levels:
    """The running heights of beats and of noise, and the threshold between them."""

    def __init__(self, shift):
        """The threshold lies 2^-shift of the way from the noise to the beats."""
        self._shift = shift
        self.forget()

    def forget(self):
        """Sets both heights to zero: they have to be learnt anew."""
        self._beat = self._noise = 0

    def learn(self, height):
        """Learns first heights: the largest so far is taken for a beat's, a running mean for the noise's."""
        if height > self._beat:
            self._beat = height
        self._noise += (height - self._noise) >> 6

    def passed_by(self, height, halvings=0):
        """Whether `height` is above the threshold, halved `halvings` times."""
        return height > (self._noise + ((self._beat - self._noise) >> self._shift)) >> halvings

    def beat(self, height, shift):
        """Moves the beats' height by 2^-shift of the way to that of a beat."""
        self._beat += (height - self._beat) >> shift

    def noise(self, height):
        """Moves the noise's height by an eighth of the way to that of a peak that was no beat."""
        self._noise += (height - self._noise) >> 3


class BeatDetector:
    """Feed it samples; it says where the last beat was, half a second after it."""

    def __init__(self, rate):
        """`rate` in samples a second, 100 to 1000; samples are signed and of 16 bits."""
        self.rate = rate
        self._band = BandPass(rate * _SHORT_MS // 1000, rate * _LONG_MS // 1000)
        self._energy = MovingSum(rate * _ENERGY_MS // 1000)
        self._waiting = Delay(self._energy.n // 2 + 2)
        # A peak is found so many samples after it.
        self._late = self._band.late + self._waiting.n + 1
        self._refractory = rate * REFRACTORY_MS // 1000
        self._t_wave = rate * _T_WAVE_MS // 1000
        self._before = array("i", (0, 0, 0, 0))
        self._n = 0
        self._learning = _LEARNING_SECONDS * rate  # samples still to learn from
        self._waves = _Levels(_HEIGHT_SHIFT)
        self._energies = _Levels(_ENERGY_SHIFT)
        self._wave = 0  # the band-passed wave, without its sign, at the sample before
        self._rise = 0  # the wave's steepest step since it last fell
        self._last = 0  # the sample at which the last beat was found
        self._last_rise = 0  # the last beat's steepest step
        self._usual = rate  # the usual interval, a second to begin with
        self._odd = _NEW_RHYTHM - 2  # unusual intervals in a row; at first, two are enough for a usual one
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
        """Judges the highest peak of a refractory time, then the highest left out; a beat's sample, or -1."""
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
