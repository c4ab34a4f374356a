"""At-rest sealing of one payload under a data key, bound to the row that it belongs to. Pure.

Two suites, recorded with each row: `aes-256-gcm-siv`, the default, and `fernet`, which some sites ask for.
Neither opens when the row's identity is not the one that it was sealed with.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_server.errors import TamperedRow

SuiteName = Literal["aes-256-gcm-siv", "fernet"]
SUITES: tuple[SuiteName, ...] = get_args(SuiteName)
_NONCE_BYTES = 12
_CIPHERS = 1024  # kept ready: deriving a key costs ten times what sealing a reading does


def seal(suite: SuiteName, data_key: bytes, identity: bytes, payload: bytes) -> bytes:
    """`payload` sealed under a 32-byte `data_key`, bound to `identity` (any bytes under 64 KiB)."""
    if suite == "fernet":
        # Fernet binds no associated data: the identity travels inside, and opening compares it.
        return _fernet(data_key).encrypt(len(identity).to_bytes(2, "big") + identity + payload)
    nonce = os.urandom(
        _NONCE_BYTES
    )  # RFC 8452: a repeated random nonce costs no more than equality of plaintexts
    return nonce + _siv(data_key).encrypt(nonce, payload, identity)


def unseal(suite: SuiteName, data_key: bytes, identity: bytes, sealed: bytes) -> bytes:
    """The payload.

    Raises:
        TamperedRow: another key or identity, or changed bytes.
    """
    try:
        if suite == "fernet":
            return _strip(_fernet(data_key).decrypt(sealed), identity)
        return _siv(data_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], identity)
    except (InvalidTag, InvalidToken, ValueError):
        raise TamperedRow("the row does not open: it was changed, or moved from another place") from None


def _strip(opened: bytes, identity: bytes) -> bytes:
    end = 2 + int.from_bytes(opened[:2], "big")
    if not hmac.compare_digest(opened[2:end], identity):
        raise ValueError("another row's identity")
    return opened[end:]


@lru_cache(_CIPHERS)
def _siv(data_key: bytes) -> AESGCMSIV:
    return AESGCMSIV(_derived(data_key, "aes-256-gcm-siv"))


@lru_cache(_CIPHERS)
def _fernet(data_key: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(_derived(data_key, "fernet")))


def _derived(data_key: bytes, suite: SuiteName) -> bytes:
    # A key of its own for each suite: one key must never serve two algorithms.
    info = b"pericard at rest " + suite.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(data_key)
