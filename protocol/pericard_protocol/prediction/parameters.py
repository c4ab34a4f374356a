"""The parameter sets of the encrypted prediction: BFV, numbers only. A test compares them with SEAL's own."""

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.errors import MalformedObject

# The largest modulus (bits, special prime included) for 128-bit security against classical attacks with a
# ternary secret: HomomorphicEncryption.org standard (2018), table 1. SEAL enforces the same table.
_MAX_MODULUS_BITS = {4096: 109, 8192: 218}
_BFV = 1  # SEAL's number of the scheme
HEADER_BYTES = 12  # of every container
SEED_BYTES = 64  # of SEAL's generator, BLAKE2Xb


@dataclass(frozen=True)
class BfvParameters:
    """A BFV parameter set of the allow-list.

    Attributes:
        name: in manifests and key exports.
        number: in the headers of objects.
        degree: the ring's degree N, which is also the number of slots, in two rows of N/2.
        primes: the data primes, and last the one for key switching, as SEAL's `CoeffModulus.Create` has them.
        plain: the plaintext modulus t, a prime that is 1 modulo 2N, so that there are slots.
    """

    name: str
    number: int
    degree: int
    primes: tuple[int, ...]
    plain: int

    def __post_init__(self) -> None:
        if sum(self.bits) > _MAX_MODULUS_BITS[self.degree]:
            raise UsageError(f"parameters {self.name}: the modulus is too large for 128-bit security")

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """Bits of each prime: what a word under it takes in a block."""
        return tuple(prime.bit_length() for prime in self.primes)

    @property
    def data_primes(self) -> tuple[int, ...]:
        """The primes of a fresh ciphertext: all but the one for key switching."""
        return self.primes[:-1]

    @property
    def row(self) -> int:
        """Slots in one of the two rows: N/2."""
        return self.degree // 2

    def block_bytes(self, prime: int) -> int:
        """The length of N packed words under the prime of that index."""
        return self.degree * self.bits[prime] // 8

    def seeded_bytes(self, primes: int) -> int:
        """The length of a seeded ciphertext: a block for each of the first `primes` primes, then the seed."""
        return sum(map(self.block_bytes, range(primes))) + SEED_BYTES

    @property
    def query_ciphertext_bytes(self) -> int:
        """The length of one ciphertext of a query."""
        return self.seeded_bytes(len(self.data_primes))

    @property
    def key_part_bytes(self) -> int:
        """The length of the public key, and of each key-switching part."""
        return self.seeded_bytes(len(self.primes))

    @property
    def reply_ciphertext_bytes(self) -> int:
        """The length of one ciphertext of a reply: both polynomials under the first prime."""
        return 2 * self.block_bytes(0)

    def keys_bytes(self, steps: int) -> int:
        """The length of a keys container with that many Galois steps."""
        parts = 1 + steps * len(self.data_primes)
        return HEADER_BYTES + 2 * steps + parts * self.key_part_bytes

    def seal_hash(self, primes: int) -> bytes:
        """SEAL's `parms_id` of the level with the first `primes` primes, 32 bytes.

        SEAL's `EncryptionParameters::compute_parms_id`: BLAKE2b over scheme, degree, primes and t, as u64.
        """
        numbers = (_BFV, self.degree, *self.primes[:primes], self.plain)
        return hashlib.blake2b(struct.pack(f"<{len(numbers)}Q", *numbers), digest_size=32).digest()


# 72 bits of modulus for the ciphertext, of 109 in all. Room for one plaintext product and the flooding.
S1 = BfvParameters("s1", 1, 4096, (68719230977, 68719403009, 137438822401), 40961)
# 108 bits for the ciphertext, so that the flooding's distance falls to 2^-47: opt-in by the model.
S3 = BfvParameters("s3", 3, 8192, (18014398508138497, 18014398508400641, 36028797018652673), 65537)

_BY_NAME = {one.name: one for one in (S1, S3)}
_BY_NUMBER = {one.number: one for one in (S1, S3)}
NAMES = tuple(_BY_NAME)


def named(name: str) -> BfvParameters:
    """The parameter set of that name.

    Raises:
        MalformedObject: it is not on the allow-list.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise MalformedObject(
            f"no such parameter set: {name[:32]!r}; there are {', '.join(_BY_NAME)}"
        ) from None


def numbered(number: int) -> BfvParameters:
    """The parameter set of that number.

    Raises:
        MalformedObject: it is not on the allow-list.
    """
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise MalformedObject(f"no parameter set has the number {number}: update what made this") from None
