"""Symmetric encryption: a fresh key for every message, derived from the version key.

    message key = HMAC-SHA256(K, [1] || label || 0x00 || salt || [L])   SP 800-108r1, counter mode
    ciphertext  = salt (16) || nonce (12) || AEAD(message key, nonce, plaintext, associated data)

salt and nonce are 28 random bytes, so two messages share both message key and nonce with probability 2^-224.
Plain AES-GCM with random 96-bit nonces needs a new key after 2^32 messages; a version key here does not. The
convergent form takes the 28 bytes from an HMAC of plaintext and associated data under a separate key: equal
inputs give equal outputs, and different inputs do not share a nonce.
"""

import hmac
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305

from pericard_kms.crypto.key_material import derive
from pericard_kms.crypto.key_types import KeyType
from pericard_kms.errors import Invalid

SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
_LABEL = b"pericard kms transit message"
CIPHERS: dict[str, Any] = {
    "aes128-gcm96": AESGCM,
    "aes256-gcm96": AESGCM,
    "aes256-gcm-siv": AESGCMSIV,
    "chacha20-poly1305": ChaCha20Poly1305,
}


def _message_key(key: bytes, salt: bytes, size: int) -> bytes:
    block = b"\x00\x00\x00\x01" + _LABEL + b"\x00" + salt + (size * 8).to_bytes(4, "big")
    return hmac.digest(key, block, "sha256")[:size]


def encrypt(
    kind: KeyType, key: bytes, plaintext: bytes, associated: bytes, *, convergent: bool = False
) -> bytes:
    """Encrypts one message; see the module's text for the layout."""
    if convergent:
        framed = len(associated).to_bytes(8, "big") + associated + plaintext
        random = hmac.digest(derive(key, b"", b"convergent"), framed, "sha256")[: SALT_BYTES + NONCE_BYTES]
    else:
        random = os.urandom(SALT_BYTES + NONCE_BYTES)
    cipher = CIPHERS[kind.name](_message_key(key, random[:SALT_BYTES], kind.size))
    sealed: bytes = cipher.encrypt(random[SALT_BYTES:], plaintext, associated or None)
    return random + sealed


def decrypt(kind: KeyType, key: bytes, box: bytes, associated: bytes) -> bytes:
    """The inverse of `encrypt`.

    Raises:
        Invalid: too short, changed, or sealed under another key or associated data.
    """
    if len(box) < SALT_BYTES + NONCE_BYTES + TAG_BYTES:
        raise Invalid("invalid ciphertext length")
    cipher = CIPHERS[kind.name](_message_key(key, box[:SALT_BYTES], kind.size))
    try:
        opened: bytes = cipher.decrypt(
            box[SALT_BYTES : SALT_BYTES + NONCE_BYTES], box[SALT_BYTES + NONCE_BYTES :], associated or None
        )
    except InvalidTag:
        raise Invalid("invalid ciphertext: message authentication failed") from None
    return opened
