"""Delays and sums over the last samples of a wave: integers, in memory taken once."""

from array import array


class Delay:
    """The value of n before."""

    def __init__(self, n):
        self._values = array("i", bytes(4 * n))
        self._at = 0
        self.n = n

    def push(self, value):
        """Takes a value; returns that of n before."""
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
    """The difference of two moving averages that share their centre: additions only, and no phase turned."""

    def __init__(self, short, long):
        """In samples. An average of T seconds halves what has 0.603 / T Hz: there sin(pi x) = pi x / 2."""
        self._short = MovingSum(short)
        self._long = MovingSum(long)
        self._centring = Delay((long - short) // 2)
        self.late = long // 2  # how many samples its answer is behind

    def push(self, sample):
        """Takes a sample; returns the band-passed wave of `late` samples before."""
        short = self._short
        long = self._long
        band = self._centring.push(short.push(sample)) * long.n - long.push(sample) * short.n
        return band // (short.n * long.n)
