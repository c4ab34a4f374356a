"""ML-KEM by liboqs: a second provider of suites 0x0041 and 0x0042, where required (extra `liboqs`).

Keys and encapsulations are those of the suites by `cryptography`, byte for byte: each side may use either.
"""

import os
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from pericard_protocol.errors import UsageError
from pericard_protocol.uplink.suites import KemError, Suite

_SEED_BYTES = 64  # d ‖ z of FIPS 203, what `cryptography` calls the seed


class NoLiboqs(UsageError):
    """liboqs, or its Python wrapper, is not installed."""


def installed() -> bool:
    """Whether both the wrapper and the native library are there."""
    # Asked before the import: the wrapper's answer to a missing library is to fetch and build one.
    return find_spec("oqs") is not None and (find_library("oqs") is not None or _in_its_folder())


def _in_its_folder() -> bool:
    folder = Path(os.environ.get("OQS_INSTALL_PATH", Path.home() / "_oqs"))
    return any((folder / lib / "liboqs.so").exists() for lib in ("lib", "lib64"))


def suites() -> dict[int, Suite]:
    """The two suites by their ids on the wire.

    Raises:
        NoLiboqs: it is not installed.
    """
    if not installed():
        raise NoLiboqs("liboqs is not installed: install the native library and pericard-protocol[liboqs]")
    import oqs

    return {
        0x0041: LiboqsMlKem(oqs, 0x0041, "ML-KEM-768", 1184, 1088),
        0x0042: LiboqsMlKem(oqs, 0x0042, "ML-KEM-1024", 1568, 1568),
    }


class LiboqsMlKem:
    """ML-KEM (FIPS 203) by liboqs. Private keys are the 64-byte seed d ‖ z."""

    def __init__(self, oqs: ModuleType, suite_id: int, name: str, public: int, wrapped: int) -> None:
        self._oqs, self.id, self.name = oqs, suite_id, name
        self._public_bytes, self._wrapped_bytes = public, wrapped

    def generate(self) -> tuple[bytes, bytes]:
        """A new (64-byte seed, encapsulation key)."""
        seed = os.urandom(_SEED_BYTES)
        with self._oqs.KeyEncapsulation(self.name) as kem:
            return seed, kem.generate_keypair_seed(seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, ciphertext)."""
        # The wrapper fills a short key up with zeros: the length is ours to check.
        self._check(len(public) == self._public_bytes)
        with self._oqs.KeyEncapsulation(self.name) as kem:
            try:
                wrapped, secret = kem.encap_secret(public)
            except RuntimeError:  # FIPS 203, section 7.2: a coefficient is not reduced
                self._check(False)
        return secret, wrapped

    def decapsulate(self, private: bytes, wrapped: bytes) -> bytes:
        """The 32-byte secret."""
        self._check(len(private) == _SEED_BYTES and len(wrapped) == self._wrapped_bytes)
        with self._oqs.KeyEncapsulation(self.name) as kem:
            kem.generate_keypair_seed(private)
            secret: bytes = kem.decap_secret(wrapped)
        return secret

    def _check(self, right: bool) -> None:
        if not right:
            raise KemError(f"not a public key or encapsulation of {self.name}")
