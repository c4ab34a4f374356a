"""Whether the cloud's results are right: every slot, against the same sums in the clear.

We hold the data, so nothing has to be believed or sampled: every slot of both results is compared with its
exact value, empty slots included (they must be zero). A cheat above the tolerance, in any slot, is caught
with certainty; one below it cannot be told from the scheme's own noise, and moves a mean by less than the
report's tolerance. Canaries or replicated blocks would add nothing to that; they are for data we do not hold.

**The tolerance.** CKKS is exact up to noise. SEAL encrypts under one prime more and divides by it, so a
fresh ciphertext's noise is the rounding of c0 + c1 s: with s ternary, each of the N coefficients has
variance (1 + 2N/3) / 12. A slot of it is nearly the slot of c1's rounding times that of s (c0's own
rounding is 3/(2N) of it). Each of the two is a sum of N coefficients times roots of unity, hence complex
Gaussian; their product has the deviation

    sigma = sqrt(N (1 + 2N/3) / 12) / scale

(after Cheon, Kim, Kim, Song 2017, lemmas 1 and 2, with deviations for their bounds). Switching a
sum to fewer primes only drops residues; rescaling the squares rounds once more. So, with P packs:

    sum:             P fresh                                -> sigma sqrt(P)
    sum of squares:  P of 2 z e, |z| <= sqrt(2), + 1 round  -> sigma sqrt(8 P + 1)

Relinearisation's noise is divided by the rescaling (2^48) and vanishes, as does e^2. All packs share the
slot of s, so the noise of a sum is such a product, too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pericard_protocol.fhe.parameters import CkksParameters
from pericard_server.analysis.errors import PackingFault, WrongResult
from pericard_server.analysis.packing import Complexes

# A product of two complex Gaussians of mean square 1 exceeds t with probability 2 t K1(2 t), K1 the
# modified Bessel function: far more often than one of them, exp(-t^2). At t = 20 that is 3.4e-17 a slot
# and 2.8e-13 for the 2 x 4096 slots of a job. (At t = 8 one honest job in 210 was refused.)
_DEVIATIONS = 20.0
# Doubles carry 53 bits; encoding and decoding are FFTs of log2(N) = 13 steps on values up to 2 P.
_ROUNDING = 2.0**-46


@dataclass(frozen=True)
class Tolerance:
    """The largest difference that noise explains in a slot of the sum and of the sum of squares."""

    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Of a patient's encoded mean.

        Each of the patient's columns may be off by `total`. The mean divides their sum by the number of
        readings, and there are at least as many readings as columns.
        """
        return self.total

    @property
    def variance(self) -> float:
        """Of a patient's encoded variance, E[v^2] - E[v]^2.

        E[v^2] may be off by `squares`, and E[v]^2 by 2 total + total^2, for |v| <= 1: 4 total is above that.
        """
        return self.squares + 4 * self.total

    @property
    def covariance(self) -> float:
        """Of a patient's encoded covariance, E[v w] - E[v] E[w].

        E[v w] is half of a sum of squares; E[v] E[w] may be off by 2 total + total^2: 3 total is above that.
        """
        return self.squares / 2 + 3 * self.total


def tolerance(parameters: CkksParameters, packs: int) -> Tolerance:
    """The tolerance for a job of so many packs; the argument is this module's first lines."""
    degree = parameters.degree
    sigma = math.sqrt(degree * (1 + 2 * degree / 3) / 12) / parameters.scale
    rounding = packs * _ROUNDING
    return Tolerance(
        total=_DEVIATIONS * sigma * math.sqrt(packs) + rounding,
        squares=_DEVIATIONS * sigma * math.sqrt(8 * packs + 1) + rounding,
    )


def check(packs: Complexes, total: Complexes, squares: Complexes, allowed: Tolerance) -> None:
    """Compares decrypted results, complex128[slots] each, with what was sent, complex128[packs, slots].

    Raises:
        WrongResult: a slot differs by more than noise explains. The message has no value, nor which slot.
    """
    for name, found, exact, limit in (
        ("sum", total, packs.sum(axis=0), allowed.total),
        ("sum of squares", squares, (packs**2).sum(axis=0), allowed.squares),
    ):
        if found.shape != exact.shape or not (np.abs(found - exact) <= limit).all():  # NaN is wrong, too
            raise WrongResult(
                f"the cloud's {name} is not that of the readings sent: its results must not be used"
            )


def check_patient(pairs: Sequence[tuple[float | None, float | None, float]]) -> None:
    """Compares a patient's statistics with numpy's over the very readings.

    After `check` the cloud is not to blame any more: a difference here is a fault in our own packing.

    Args:
        pairs: by FHE, in the clear, and the most by which they may differ; None for what there is not.

    Raises:
        PackingFault: they differ by more than noise explains.
    """
    for found, clear, limit in pairs:
        right = found is clear if found is None or clear is None else abs(found - clear) <= limit
        if not right:
            raise PackingFault(
                "a patient's blind statistics are not those in the clear: this is a fault of ours, report it"
            )
