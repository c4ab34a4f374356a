"""How the readings of many patients share few ciphertexts, and how their sums are found again.

A job is a table of packs x slots. The cloud adds the packs of a job slot by slot, so each slot is one column
that sums by itself. A patient gets as many columns as needed, and the job as few packs as possible; so one
job serves a whole ward, and the cloud learns neither how many patients there are nor how many readings.

A reading x, in its place of the table, is the complex number z = v + i with v = (x - centre) / half_range; an
empty place is 0. Then the slot sums of z and of z^2, over a column's n readings, give in one go

    sum z   = sum v + i n          sum z^2 = (sum v^2 - n) + 2 i sum v

so that the count, too, is computed by the cloud, blindly and at no cost. With a second quantity w in place
of 1, the very same computation gives the sums for a covariance, and with time for w those for a trend:

    sum z   = sum v + i sum w      sum z^2 = (sum v^2 - sum w^2) + 2 i sum v w
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pericard_server.analysis.errors import UnusableReadings

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Encoding:
    """The affine map from readings to [-1, 1], a public constant of each vital sign.

    Variance is found as E[v^2] - E[v]^2, which loses digits when the mean is large beside the deviation; a
    centre near the usual mean prevents that. Both constants are fixed, not taken from the data: to follow the
    data is to compute the answer before asking, and ciphertexts of several patients could not be added.
    """

    centre: float
    half_range: float

    def encode(self, readings: npt.ArrayLike) -> Floats:
        """Encodes readings to v.

        Raises:
            UnusableReadings: not a flat sequence of numbers, or one is outside the range.
        """
        values = np.asarray(readings, np.float64)
        if values.ndim != 1:
            raise UnusableReadings("readings must be a flat sequence of numbers")
        encoded: Floats = (values - self.centre) / self.half_range
        if not (np.abs(encoded) <= 1.0).all():  # not `> 1`: NaN compares false
            low, high = self.centre - self.half_range, self.centre + self.half_range
            raise UnusableReadings(
                f"readings outside {low:g} to {high:g}, or not numbers: choose another encoding"
            )
        return encoded

    @classmethod
    def spanning(cls, low: float, high: float) -> "Encoding":
        """The encoding whose range is low..high; for what is not a vital sign, such as time.

        Raises:
            UnusableReadings: there is nothing between them.
        """
        if not low < high:
            raise UnusableReadings(f"nothing lies between {low:g} and {high:g}: give the lower one first")
        return cls(centre=(low + high) / 2, half_range=(high - low) / 2)

    def mean(self, encoded: float) -> float:
        """A mean of v, in the readings' unit."""
        return self.centre + self.half_range * encoded

    def variance(self, encoded: float) -> float:
        """A variance of v, in the readings' unit squared."""
        return self.half_range**2 * encoded


# Any rate a monitor shows lies in -181..331; 75 is the usual resting mean; a power of two divides exactly.
HEART_RATE_BPM = Encoding(centre=75.0, half_range=256.0)


@dataclass(frozen=True)
class PackedTable:
    """One job's table, and whose columns are whose.

    Attributes:
        packs: complex128[packs, slots].
        columns: patient's index and their columns, half-open.
    """

    packs: Complexes
    columns: tuple[tuple[int, slice], ...]


def pack(patients: Sequence[Complexes], slots: int, max_packs: int) -> list[PackedTable]:
    """Tables that hold all readings, as few as possible and each of as few packs as possible.

    Args:
        patients: what goes into a place for each encoded reading, complex128[n], |z|^2 <= 2; n may be 0.
        slots: columns of a table.
        max_packs: its most rows.
    """
    jobs: list[list[tuple[int, Complexes]]] = [[]]
    free = slots
    for index, values in enumerate(patients):
        while len(values):
            if free == 0:
                jobs.append([])
                free = slots
            piece, values = values[: free * max_packs], values[free * max_packs :]
            jobs[-1].append((index, piece))
            free -= -(-len(piece) // max_packs)
    return [_table(pieces, slots, max_packs) for pieces in jobs if pieces]


def _table(pieces: list[tuple[int, Complexes]], slots: int, max_packs: int) -> PackedTable:
    lengths = np.array([len(values) for _, values in pieces])
    # The fewest rows whose columns suffice; more rows never need more columns, so a binary search finds it.
    low, high = 1, max_packs
    while low < high:
        rows = (low + high) // 2
        low, high = (low, rows) if (-(-lengths // rows)).sum() <= slots else (rows + 1, high)
    rows = low
    table = np.zeros((rows, slots), np.complex128)
    columns = []
    start = 0
    for index, values in pieces:
        width = -(-len(values) // rows)
        block = np.zeros(rows * width, np.complex128)
        block[: len(values)] = values
        table[:, start : start + width] = block.reshape(rows, width)
        columns.append((index, slice(start, start + width)))
        start += width
    return PackedTable(table, tuple(columns))
