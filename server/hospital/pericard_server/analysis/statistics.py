"""From sums to statistics, by FHE's sums and, independently, by numpy from the readings themselves."""

from dataclasses import dataclass

import numpy as np

from pericard_server.analysis.packing import Encoding, Floats
from pericard_server.analysis.report import Moments, Relation


@dataclass(frozen=True)
class Sums:
    """What the cloud summed for one patient, decrypted: of z and of z^2 (see `packing`)."""

    total: complex = 0j
    squares: complex = 0j

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.total + other.total, self.squares + other.squares)


def moments(sums: Sums, encoding: Encoding) -> Moments:
    """From the sums of z = v + i."""
    count = round(sums.total.imag)
    if count == 0:
        return Moments(0, None, None)
    mean, square = sums.total.real / count, sums.squares.real / count + 1
    variance = max(0.0, square - mean**2)  # noise can put a zero below zero
    return Moments(count, encoding.mean(mean), encoding.variance(variance))


def clear_moments(readings: Floats) -> Moments:
    """By numpy, in two passes."""
    if len(readings) == 0:
        return Moments(0, None, None)
    return Moments(len(readings), float(readings.mean()), float(readings.var()))


def relation(counted: Sums, paired: Sums, x: Encoding, y: Encoding, noise: float) -> Relation:
    """From the sums of z = v + i and of z = v + i w.

    Args:
        counted: of v + i, for the count and the variance of v.
        paired: of v + i w.
        x: v's encoding.
        y: w's encoding.
        noise: an encoded variance no larger than this may be none at all.
    """
    count = round(counted.total.imag)
    if count == 0:
        return Relation(0, None, None, None)
    mean_v, mean_w = paired.total.real / count, paired.total.imag / count
    square_v = counted.squares.real / count + 1
    square_w = square_v - paired.squares.real / count
    return _relation(
        count,
        covariance=paired.squares.imag / (2 * count) - mean_v * mean_w,
        variance_v=square_v - mean_v**2,
        variance_w=square_w - mean_w**2,
        x=x,
        y=y,
        noise=noise,
    )


def clear_relation(v: Floats, w: Floats, x: Encoding, y: Encoding, noise: float) -> Relation:
    """By numpy, in two passes, from encoded values."""
    if len(v) == 0:
        return Relation(0, None, None, None)
    (variance_v, covariance), (_, variance_w) = np.cov(v, w, ddof=0)
    return _relation(len(v), float(covariance), float(variance_v), float(variance_w), x=x, y=y, noise=noise)


def _relation(
    count: int,
    covariance: float,
    variance_v: float,
    variance_w: float,
    x: Encoding,
    y: Encoding,
    noise: float,
) -> Relation:
    varies = min(variance_v, variance_w) > noise
    return Relation(
        count,
        covariance=covariance * x.half_range * y.half_range,
        correlation=float(covariance / np.sqrt(variance_v * variance_w)) if varies else None,
        slope=covariance / variance_w * x.half_range / y.half_range if variance_w > noise else None,
    )
