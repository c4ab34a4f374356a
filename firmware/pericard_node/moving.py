"""Delays and sums over the last samples of a wave: integers, in memory that is allocated once."""

from array import array


class Delay:
    """A delay line: it gives each value back n values later."""

    def __init__(self, n):
        self._values = array("i", bytes(4 * n))
        self._at = 0
        self.n = n

    def push(self, value):
        """Takes a value; returns the one taken n values earlier, at first 0."""
        at = self._at
        before = self._values[at]
        self._values[at] = value
        at += 1
        self._at = 0 if at == self.n else at
        return before


class MovingSum(Delay):
    """The sum of the last n values."""

    def __init__(self, n):
        super().__init__(n)
        self.total = 0

    def push(self, value):
        """Takes a value; returns the sum."""
        self.total += value - Delay.push(self, value)  # super() would allocate on MicroPython
        return self.total


class BandPass:
    """The difference of two moving averages around the same sample.

    It needs additions only, and delays all frequencies alike (its phase is linear).
    """

    def __init__(self, short, long):
        """`short` and `long` are the lengths of the averages, in samples.

        An average over T seconds halves a wave of f = 0.603 / T Hz, for which sin(pi f T) / (pi f T) = 1/2.
        """
        self._short = MovingSum(short)
        self._long = MovingSum(long)
        self._centring = Delay((long - short) // 2)
        self.late = long // 2  # how many samples later a sample's band-passed value comes

    def push(self, sample):
        """Takes a sample; returns the band-passed value of the one taken `late` samples earlier."""
        short = self._short
        long = self._long
        band = self._centring.push(short.push(sample)) * long.n - long.push(sample) * short.n
        return band // (short.n * long.n)
