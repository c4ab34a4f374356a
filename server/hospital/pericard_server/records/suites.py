"""The at-rest suites: how one payload is sealed under a key. Pure; knows no row and no data key.

`SUITES` is the one list of them: the configuration, the records, the demo and the bench read it. To add a
suite, write a subclass of `Cipher` and its line in the list, here; the tests then hold it to the same
invariants.
"""

import os
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV


class DoesNotOpen(Exception):
    """The sealed bytes, the associated data or the key is not that of sealing; for `seal` alone."""


class Cipher(ABC):
    """One key, ready for use. Threads may share it."""

    @abstractmethod
    def __init__(self, key: bytes) -> None:
        """Takes a key of the suite's length."""

    @abstractmethod
    def seal(self, payload: bytes, associated: bytes) -> bytes:
        """The payload sealed, bound to `associated` where the suite binds such data; else that is empty."""

    @abstractmethod
    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """The payload.

        Raises:
            DoesNotOpen: another key or associated data, or changed bytes.
        """


class AesGcmSiv(Cipher):
    """AES-256-GCM-SIV (RFC 8452): nonce ‖ ciphertext ‖ tag."""

    _NONCE_BYTES = 12

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCMSIV(key)

    def seal(self, payload: bytes, associated: bytes) -> bytes:
        """As `Cipher.seal`."""
        # RFC 8452: a repeated random nonce costs no more than to show that two plaintexts are equal.
        nonce = os.urandom(self._NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, payload, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """As `Cipher.unseal`."""
        try:
            return self._cipher.decrypt(sealed[: self._NONCE_BYTES], sealed[self._NONCE_BYTES :], associated)
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise DoesNotOpen from None


class FernetCipher(Cipher):
    """Fernet, which some sites ask for: AES-128-CBC and HMAC-SHA256, as text; binds no associated data."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Fernet(urlsafe_b64encode(key))

    def seal(self, payload: bytes, associated: bytes) -> bytes:
        """As `Cipher.seal`."""
        return self._cipher.encrypt(payload)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """As `Cipher.unseal`."""
        try:
            return self._cipher.decrypt(sealed)
        except InvalidToken:
            raise DoesNotOpen from None


@dataclass(frozen=True)
class AtRestSuite:
    """A way to seal at rest.

    Attributes:
        name: as in the configuration and in every row; 20 characters at most.
        key_bytes: how long a key of `cipher` is.
        binds_associated_data: whether `cipher` binds data beside the payload. Where it does not, that data is
            sealed with the payload, and compared after opening.
        cipher: makes a cipher of a key.
    """

    name: str
    key_bytes: int
    binds_associated_data: bool
    cipher: Callable[[bytes], Cipher]


SUITES = {
    suite.name: suite
    for suite in (
        AtRestSuite("aes-256-gcm-siv", 32, True, AesGcmSiv),
        AtRestSuite("fernet", 32, False, FernetCipher),
    )
}
DEFAULT_SUITE = next(iter(SUITES.values()))
