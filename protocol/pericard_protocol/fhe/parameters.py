"""Named parameter sets for homomorphic encryption: the few that hospital and cloud allow each other.

Numbers only: it imports no FHE library. The shapes of objects under them are in `objects.py`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from pericard_protocol.errors import PeerError, UsageError

# The largest modulus (bits, special prime included) for 128-bit security against classical attacks with a
# ternary secret: HomomorphicEncryption.org standard (2018), table 1. SEAL enforces the same table.
MAX_MODULUS_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}


class UnknownParameters(PeerError):
    """The named parameter set is not on the allow-list."""

    reason: ClassVar[str] = "parameters"


@dataclass(frozen=True)
class CkksParameters:
    """A CKKS parameter set of the allow-list.

    Attributes:
        name: what travels with every object.
        degree: the ring's degree N; N/2 complex slots to a ciphertext.
        prime_bits: bits of each prime: the one that results keep, the one that rescaling drops, and last
            the one for key switching.
        scale_bits: the plaintext scale is 2 to this power.
        max_packs: ciphertexts that may be summed in one job.
    """

    name: str
    degree: int
    prime_bits: tuple[int, ...]
    scale_bits: int
    max_packs: int

    def __post_init__(self) -> None:
        if sum(self.prime_bits) > MAX_MODULUS_BITS[self.degree]:
            raise UsageError(f"parameters {self.name}: the modulus is too large for 128-bit security")
        # Slots hold |z|^2 <= 2, so a sum is at most 2 x packs. Coefficients are no larger than the largest
        # slot, and must stay below half of the first prime: so one bit of the two is subtracted. The other is
        # a margin, because the prime is a little below 2^prime_bits and noise adds to the coefficients.
        if 2 * self.max_packs * 2**self.scale_bits > 2 ** (self.prime_bits[0] - 2):
            raise UsageError(f"parameters {self.name}: a sum of {self.max_packs} packs would overflow")

    @property
    def slots(self) -> int:
        """Complex numbers to a ciphertext."""
        return self.degree // 2

    @property
    def scale(self) -> float:
        """The plaintext scale."""
        return math.ldexp(1.0, self.scale_bits)

    @property
    def fresh_primes(self) -> int:
        """Primes of a fresh ciphertext: all but the one for key switching."""
        return len(self.prime_bits) - 1

    def pyfhel_arguments(self) -> dict[str, object]:
        """What Pyfhel's `context_params` takes; SEAL then refuses them when they are below 128 bits."""
        return {
            "scheme": "CKKS",
            "n": self.degree,
            "qi_sizes": list(self.prime_bits),
            "scale": self.scale,
            "sec": 128,
        }


MOMENTS = CkksParameters(
    # Depth one: sums, and sums of squares. 168 of 218 bits. The scale of 2^48 puts the noise of a slot near
    # 1e-11 of the encoding's half range; the 60-bit first prime leaves room above it for 512 packs a job.
    name="ckks-8192-moments",
    degree=8192,
    prime_bits=(60, 48, 60),
    scale_bits=48,
    max_packs=512,
)

_ALLOWED = {parameters.name: parameters for parameters in (MOMENTS,)}


def parameter_set(name: str) -> CkksParameters:
    """The parameter set of that name.

    Raises:
        UnknownParameters: it is not on the allow-list.
    """
    try:
        return _ALLOWED[name]
    except KeyError:
        known = ", ".join(sorted(_ALLOWED))
        raise UnknownParameters(
            f"no such FHE parameters: {name[:64]!r}; the allowed ones are {known}"
        ) from None
