"""ML-KEM by liboqs: a second provider of the KEM suites, where required (extra `liboqs`).

Keys and encapsulations are those of the suites by `cryptography`, byte for byte: each side may use either.
"""

import ctypes
import logging
import os
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from pericard_protocol.errors import UsageError
from pericard_protocol.uplink.hybrid import HybridOver
from pericard_protocol.uplink.suites import KemError, KemSuite

_SEED_BYTES = 64  # d ‖ z of FIPS 203, what `cryptography` calls the seed


class NoLiboqs(UsageError):
    """liboqs, or its Python wrapper, is not installed or lacks ML-KEM."""


def missing() -> str:
    """What keeps liboqs from being used here; "" when nothing does."""
    if find_spec("oqs") is None:
        return "its Python wrapper is not installed: pip install 'pericard-protocol[liboqs]'"
    # This must be known before the wrapper is imported. Where the wrapper finds no library that loads, it
    # downloads liboqs and builds it, which no process of ours may do. It looks in the places looked in here.
    if not any(_loads(place) for place in _places()):
        return (
            "its native library is not installed, or does not load: install liboqs (a shared build), or set"
            " OQS_INSTALL_PATH to the folder that it was installed to"
        )
    return ""


def _places() -> list[str]:
    folder = Path(os.environ.get("OQS_INSTALL_PATH", Path.home() / "_oqs")).absolute()
    found = [find_library("oqs"), find_library("liboqs")]
    return [one for one in found if one] + [str(folder / lib / "liboqs.so") for lib in ("lib", "lib64")]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def load_liboqs() -> ModuleType:
    """The wrapper's module.

    Raises:
        NoLiboqs: it, or the native library, is not installed.
    """
    if why := missing():
        raise NoLiboqs(f"liboqs cannot be used: {why}; or choose the KEM provider cryptography")
    logging.getLogger("oqs.oqs").disabled = True  # it logs to stdout, where only results may be
    import oqs

    found: ModuleType = oqs
    return found


def suites(oqs: ModuleType) -> dict[int, KemSuite]:
    """Every suite by its id on the wire, the default first, with ML-KEM by the wrapper's module.

    Raises:
        NoLiboqs: the native library was built without one of them.
    """
    for name in ("ML-KEM-768", "ML-KEM-1024"):
        if not oqs.is_kem_enabled(name):
            raise NoLiboqs(f"liboqs cannot be used: it was built without {name}; install a complete build")
    smaller = LiboqsMlKem(oqs, 0x0041, "ML-KEM-768", 1184, 1088)
    larger = LiboqsMlKem(oqs, 0x0042, "ML-KEM-1024", 1568, 1568)
    return {suite.id: suite for suite in (HybridOver(smaller), smaller, larger)}


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
        # The wrapper fills a short key up with zeros and goes on, so the length is checked here.
        self._check(len(public) == self._public_bytes)
        with self._oqs.KeyEncapsulation(self.name) as kem:
            try:
                wrapped, secret = kem.encap_secret(public)
            except RuntimeError:  # a coefficient is not reduced (FIPS 203, section 7.2)
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
            raise KemError(f"not a key or encapsulation of {self.name}")
