"""Named parameter sets for homomorphic encryption, and the exact shape of every object under them.

Numbers and bytes only: it imports no FHE library. Whoever is about to hand bytes from outside to SEAL checks
them here first, because SEAL 4.1 trusts the sizes that an object declares and allocates what they ask for.
Objects travel uncompressed (ciphertexts do not shrink), so each kind has exactly one length.

What is checked here is the shape. That residues are below their primes, and that the parameters' hash is the
context's own, SEAL checks when it loads the object; we let it do so only in a confined worker process.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import ClassVar

from pericard_protocol.errors import PeerError, UsageError

# The largest modulus (bits, special prime included) for 128-bit security against classical attacks with a
# ternary secret: HomomorphicEncryption.org standard (2018), table 1. SEAL enforces the same table.
MAX_MODULUS_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}

_U64 = 8
# SEAL 4.1's serialisation header: magic, header size, version 4.1, no compression, reserved, total size.
_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC, _VERSION, _UNCOMPRESSED = 0xA15E, (4, 1), 0
# A ciphertext after its header and the hash of its parameters: NTT flag, polynomials, degree, primes, scale,
# correction factor (BGV's; 1 otherwise), then the coefficients: an array with a header and count of its own.
_CIPHERTEXT = struct.Struct("<BQQQdQ")
_PARAMETERS_HASH = 32
_CIPHERTEXT_PREFIX = _HEADER.size + _PARAMETERS_HASH + _CIPHERTEXT.size
_CIPHERTEXT_OVERHEAD = _CIPHERTEXT_PREFIX + _HEADER.size + _U64
_KEYS_DIMENSIONS = struct.Struct("<QQ")
_KEYS_PREFIX = _HEADER.size + _PARAMETERS_HASH + _KEYS_DIMENSIONS.size


class UnknownParameters(PeerError):
    """The named parameter set is not on the allow-list."""

    reason: ClassVar[str] = "parameters"


class MisshapenObject(PeerError):
    """An FHE object does not have the one shape that it must have."""

    reason: ClassVar[str] = "shape"


@dataclass(frozen=True)
class ParameterSet:
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
        # slot and must stay below half of the first prime (two bits: it is just under its size, and noise).
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

    def ciphertext_bytes(self, primes: int, polynomials: int = 2) -> int:
        """The length of a serialised ciphertext."""
        return _CIPHERTEXT_OVERHEAD + polynomials * primes * self.degree * _U64

    @property
    def relinearisation_key_bytes(self) -> int:
        """The length of the serialised relinearisation key: one encryption for each fresh prime."""
        return _KEYS_PREFIX + self.fresh_primes * self.ciphertext_bytes(len(self.prime_bits))

    def check_ciphertext(self, data: bytes, primes: int, polynomials: int = 2) -> None:
        """Checks everything about a ciphertext that SEAL would believe.

        Args:
            data: the object as it came.
            primes: its level: `fresh_primes` for a fresh one, 1 for a result.
            polynomials: 2, or 3 for a product that is neither relinearised nor rescaled yet.

        Raises:
            MisshapenObject: naming the field that is wrong.
        """
        scale = self.scale if polynomials == 2 else self.scale**2  # a product not rescaled yet
        self._check_ciphertext("ciphertext", data, primes, polynomials, scale)

    def check_relinearisation_key(self, data: bytes) -> None:
        """Checks everything about a relinearisation key that SEAL would believe.

        Raises:
            MisshapenObject: naming the field that is wrong.
        """
        what = "relinearisation key"
        _check_header(what, data, self.relinearisation_key_bytes)
        _equal(what, "dimensions", _KEYS_DIMENSIONS.unpack_from(data, _HEADER.size + _PARAMETERS_HASH)[0], 1)
        count = _KEYS_DIMENSIONS.unpack_from(data, _HEADER.size + _PARAMETERS_HASH)[1]
        _equal(what, "number of parts", count, self.fresh_primes)
        step = self.ciphertext_bytes(len(self.prime_bits))
        for start in range(_KEYS_PREFIX, len(data), step):
            self._check_ciphertext(what, data[start : start + step], len(self.prime_bits), 2, 1.0)

    def _check_ciphertext(self, what: str, data: bytes, primes: int, polynomials: int, scale: float) -> None:
        _check_header(what, data, self.ciphertext_bytes(primes, polynomials))
        ntt, size, degree, levels, declared, correction = _CIPHERTEXT.unpack_from(
            data, _HEADER.size + _PARAMETERS_HASH
        )
        _equal(what, "NTT flag", ntt, 1)
        _equal(what, "number of polynomials", size, polynomials)
        _equal(what, "degree", degree, self.degree)
        _equal(what, "number of primes", levels, primes)
        _equal(what, "correction factor", correction, 1)
        # Rescaling divides by a prime that is not quite a power of two: 2^-20 is far more than it differs.
        if not math.isclose(declared, scale, rel_tol=2**-20):
            raise MisshapenObject(
                f"{what}: its scale is not the parameters': make it again under {self.name}"
            )
        coefficients = data[_CIPHERTEXT_PREFIX:]
        _check_header(what, coefficients, len(coefficients))
        count = int.from_bytes(coefficients[_HEADER.size : _HEADER.size + _U64], "little")
        _equal(what, "number of coefficients", count, polynomials * primes * self.degree)

    def fingerprint(self, relinearisation_key: bytes) -> bytes:
        """The name by which jobs call for a key: SHA-256 over the parameters' name and the key (32 bytes)."""
        digest = hashlib.sha256(b"pericard fhe key v1\0" + self.name.encode() + b"\0")
        digest.update(relinearisation_key)
        return digest.digest()


def _check_header(what: str, data: bytes, expected: int) -> None:
    _equal(what, "length in bytes", len(data), expected)
    magic, header_size, major, minor, compression, reserved, size = _HEADER.unpack_from(data)
    _equal(what, "magic number", magic, _MAGIC)
    _equal(what, "header size", header_size, _HEADER.size)
    _equal(what, "SEAL version", (major, minor), _VERSION)
    _equal(what, "compression", compression, _UNCOMPRESSED)
    _equal(what, "reserved field", reserved, 0)
    _equal(what, "declared size", size, expected)


def _equal(what: str, field: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise MisshapenObject(
            f"{what}: its {field} is {found}, not {wanted}: make it again with the same parameters"
        )


MOMENTS = ParameterSet(
    # Depth one: sums, and sums of squares. 168 of 218 bits. The scale of 2^48 puts the noise of a slot near
    # 1e-11 of the encoding's half range; the 60-bit first prime leaves room above it for 512 packs a job.
    name="ckks-8192-moments",
    degree=8192,
    prime_bits=(60, 48, 60),
    scale_bits=48,
    max_packs=512,
)

_ALLOWED = {parameters.name: parameters for parameters in (MOMENTS,)}


def named(name: str) -> ParameterSet:
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
