"""Seals a row's payload under a data key, bound to the row that it belongs to. Pure.

No row opens when its identity is not the one that it was sealed with, whichever suite of `suites` sealed it.
"""

import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_server.errors import TamperedRow
from pericard_server.records.suites import SUITES, Cipher, DoesNotOpen

_CIPHERS = 1024  # kept ready: deriving a key costs ten times what sealing a reading does
_LENGTH_BYTES = 2


def seal_row(suite: str, data_key: bytes, identity: bytes, payload: bytes) -> bytes:
    """`payload` sealed under a 32-byte `data_key`, bound to `identity` (any bytes under 64 KiB)."""
    cipher = _cipher(suite, data_key)
    if SUITES[suite].binds_associated_data:
        return cipher.seal(payload, identity)
    return cipher.seal(len(identity).to_bytes(_LENGTH_BYTES, "big") + identity + payload, b"")


def open_row(suite: str, data_key: bytes, identity: bytes, sealed: bytes) -> bytes:
    """The payload.

    Raises:
        TamperedRow: another key or identity, changed bytes, or a suite that is none.
    """
    if suite not in SUITES:
        raise TamperedRow("the row names an at-rest suite that does not exist")
    cipher = _cipher(suite, data_key)
    try:
        if SUITES[suite].binds_associated_data:
            return cipher.unseal(sealed, identity)
        return _without_identity(cipher.unseal(sealed, b""), identity)
    except DoesNotOpen:
        raise TamperedRow("the row does not open: it was changed, or moved from another place") from None


def _without_identity(opened: bytes, identity: bytes) -> bytes:
    end = _LENGTH_BYTES + int.from_bytes(opened[:_LENGTH_BYTES], "big")
    if not hmac.compare_digest(opened[_LENGTH_BYTES:end], identity):
        raise DoesNotOpen
    return opened[end:]


@lru_cache(_CIPHERS)
def _cipher(suite: str, data_key: bytes) -> Cipher:
    # A key of its own for each suite: one key must never serve two algorithms.
    info = b"pericard at rest " + suite.encode()
    derived = HKDF(algorithm=SHA256(), length=SUITES[suite].key_bytes, salt=None, info=info).derive(data_key)
    return SUITES[suite].cipher(derived)
