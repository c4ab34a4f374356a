"""RSA-OAEP encryption, and keys wrapped under RSA-OAEP and AES-KWP for the way between systems."""

import os
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from pericard_kms.errors import Invalid

# SHA-1 too: OAEP does not rest on collisions, and hardware modules still wrap with it.
_OAEP_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def rsa_encrypt(public: Any, plaintext: bytes) -> bytes:
    """RSAES-OAEP with SHA-256 (RFC 8017, 7.1).

    Raises:
        Invalid: the plaintext is too long for the modulus.
    """
    limit = public.key_size // 8 - 66  # k - 2 hLen - 2
    if len(plaintext) > limit:
        raise Invalid(f"an RSA key of {public.key_size} bits encrypts at most {limit} bytes: use a data key")
    sealed: bytes = public.encrypt(plaintext, _OAEP)
    return sealed


def rsa_decrypt(private: Any, box: bytes, oaep: padding.OAEP = _OAEP) -> bytes:
    """The inverse of `rsa_encrypt`.

    Raises:
        Invalid: it does not open; the message never says why, or it would help an attacker.
    """
    try:
        opened: bytes = private.decrypt(box, oaep)
    except ValueError:
        raise Invalid("invalid ciphertext: RSA decryption failed") from None
    return opened


def unwrap_import(private: Any, blob: bytes, hash_function: str) -> bytes:
    """Opens a key wrapped for import: RSA-OAEP of a 256-bit AES key, then the target key under AES-KWP.

    RFC 5649; the layout is PKCS #11's CKM_RSA_AES_KEY_WRAP.

    Raises:
        Invalid: it does not open.
    """
    chosen = _OAEP_HASHES.get(hash_function.upper().replace("-", ""))
    if chosen is None:
        raise Invalid(f"unsupported hash function {hash_function!r} for the wrapped key")
    size = private.key_size // 8
    kek = rsa_decrypt(private, blob[:size], padding.OAEP(padding.MGF1(chosen), chosen, None))
    if len(kek) != 32:
        raise Invalid("the wrapping AES key must have 256 bits")
    return unwrap_padded(kek, blob[size:])


def wrap_export(public: Any, material: bytes) -> bytes:
    """Key material wrapped for another system's RSA key, in the layout that `unwrap_import` opens."""
    kek = os.urandom(32)  # fresh for each key: AES-KWP is deterministic
    wrapped: bytes = public.encrypt(kek, _OAEP) + aes_key_wrap_with_padding(kek, material)
    return wrapped


def unwrap_padded(kek: bytes, wrapped: bytes) -> bytes:
    """AES-KWP (RFC 5649) opened.

    Raises:
        Invalid: it does not open.
    """
    try:
        return aes_key_unwrap_with_padding(kek, wrapped)
    except InvalidUnwrap:
        raise Invalid("the wrapped key does not open") from None
