"""The KEM suites of the uplink: one small interface, an id on the wire, raw bytes for every key.

A suite makes a fresh 32-byte secret for the holder of a public key. It stores nothing and signs nothing.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from pericard_protocol.errors import PeerError

#: Who can compute the suites: see providers.py, which loads more than a command line that offers the choice.
ProviderName = Literal["cryptography", "liboqs"]


class KemError(PeerError):
    """A key or an encapsulation without the form that its suite requires."""

    reason = "encapsulation"


class UnknownSuite(PeerError):
    """A suite id that this release does not offer."""

    reason = "unknown suite"


class KemSuite(Protocol):
    """A key encapsulation mechanism; all values are raw bytes, secrets are 32 bytes."""

    id: int
    name: str

    def generate(self) -> tuple[bytes, bytes]:
        """A new (private key, public key)."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, encapsulation) for `public`. Raises KemError when it is no public key."""

    def decapsulate(self, private: bytes, wrapped: bytes) -> bytes:
        """The secret in `wrapped`. Raises KemError when it or `private` has the wrong form.

        An encapsulation of the right form made for another key gives an unrelated secret (FIPS 203's implicit
        rejection): what is sealed under it then fails to open.
        """


class MlKem:
    """ML-KEM (FIPS 203). Private keys are the 64-byte seed d ‖ z."""

    def __init__(
        self,
        suite_id: int,
        name: str,
        private: type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey],
        public: type[MLKEM768PublicKey] | type[MLKEM1024PublicKey],
    ) -> None:
        self.id, self.name, self._private, self._public = suite_id, name, private, public

    def generate(self) -> tuple[bytes, bytes]:
        """A new (64-byte seed, encapsulation key)."""
        key = self._private.generate()
        return key.private_bytes_raw(), key.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, ciphertext)."""
        return checked(lambda: self._public.from_public_bytes(public).encapsulate(), self.name)

    def decapsulate(self, private: bytes, wrapped: bytes) -> bytes:
        """The 32-byte secret."""
        return checked(lambda: self._private.from_seed_bytes(private).decapsulate(wrapped), self.name)


class Hybrid:
    """X25519 + ML-KEM-768 (HPKE's KEM 0x647A): secret while one of the two is unbroken.

    HPKE's single-shot mode (RFC 9180, section 6.1) seals a random 32-byte secret. Private keys are the ML-KEM
    seed ‖ the X25519 scalar (96 bytes), public keys ML-KEM's ‖ X25519's (1,216 bytes).
    """

    id = 0x647A
    name = "X25519MLKEM768"
    info = b"pericard session secret v1"
    _suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

    def generate(self) -> tuple[bytes, bytes]:
        """A new (96-byte private key, 1,216-byte public key)."""
        lattice, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        return (
            lattice.private_bytes_raw() + curve.private_bytes_raw(),
            lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw(),
        )

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, 1,168-byte encapsulation)."""

        def seal() -> tuple[bytes, bytes]:
            key = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(public[:-32]),
                X25519PublicKey.from_public_bytes(public[-32:]),
            )
            secret = secrets.token_bytes(32)
            return secret, self._suite.encrypt(secret, key, info=self.info)

        return checked(seal, self.name)

    def decapsulate(self, private: bytes, wrapped: bytes) -> bytes:
        """The 32-byte secret. Unlike plain ML-KEM, it raises KemError for one made for another key."""

        def open_() -> bytes:
            key = hpke.MLKEM768X25519PrivateKey(
                MLKEM768PrivateKey.from_seed_bytes(private[:64]),
                X25519PrivateKey.from_private_bytes(private[64:]),
            )
            return self._suite.decrypt(wrapped, key, info=self.info)

        return checked(open_, self.name)


T = TypeVar("T")


def checked(operation: Callable[[], T], name: str) -> T:
    """The result of `operation`; where it refuses a value, a KemError that names the suite `name`."""
    try:
        return operation()
    except (ValueError, InvalidTag):
        raise KemError(f"not a key or encapsulation of {name}") from None


#: Every suite offered, the default first.
SUITES: dict[int, KemSuite] = {
    suite.id: suite
    for suite in (
        Hybrid(),
        MlKem(0x0041, "ML-KEM-768", MLKEM768PrivateKey, MLKEM768PublicKey),
        MlKem(0x0042, "ML-KEM-1024", MLKEM1024PrivateKey, MLKEM1024PublicKey),
    )
}
DEFAULT_SUITE: KemSuite = SUITES[Hybrid.id]


def suite_of(suite_id: int, suites: Mapping[int, KemSuite] = SUITES) -> KemSuite:
    """The suite with this id on the wire, out of a provider's `suites`.

    Raises:
        UnknownSuite: there is none.
    """
    try:
        return suites[suite_id]
    except KeyError:
        raise UnknownSuite(f"suite 0x{suite_id:04X} is unknown; this release offers {_offered()}") from None


def _offered() -> str:
    return ", ".join(f"0x{suite.id:04X} ({suite.name})" for suite in SUITES.values())
