"""Key material of every type: made, taken in from outside, and given out as PEM.

What is kept of a key is bytes: raw bytes for symmetric keys, seeds for Ed25519, ML-DSA and ML-KEM, PKCS #8
DER for RSA and ECDSA. The functions here turn those bytes into keys of `cryptography` and back.
"""

import os
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_kms.crypto.key_types import KeyType
from pericard_kms.errors import Invalid

_CURVES: dict[int, Callable[[], ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
_ML_DSA: dict[int, Any] = {
    44: (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
    65: (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
    87: (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
}
_ML_KEM: dict[int, Any] = {
    768: (mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey),
    1024: (mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey),
}


def generate(kind: KeyType, size: int = 0) -> bytes:
    """Fresh key material: raw bytes for symmetric keys, seeds for Ed25519 and ml-*, PKCS #8 for the rest.

    `size` is the length of an HMAC key in bytes.
    """
    match kind.family:
        case "aead":
            return os.urandom(kind.size)
        case "mac":
            return os.urandom(size or kind.size)
        case "ed25519":
            return os.urandom(32)  # RFC 8032, section 5.1.5: the private key is 32 random bytes
        case "ml-dsa":
            return os.urandom(32)  # FIPS 204, algorithm 1: xi
        case "ml-kem":
            return os.urandom(64)  # FIPS 203, algorithm 19: d || z
        case "ecdsa":
            return _pkcs8(ec.generate_private_key(_CURVES[kind.size]()))
        case "rsa":
            return _pkcs8(rsa.generate_private_key(65537, kind.size))


def _pkcs8(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded


def derive(material: bytes, context: bytes, purpose: bytes = b"key") -> bytes:
    """A 32-byte key for `context` (HKDF-SHA256, RFC 5869): `info` is purpose and context, length-framed."""
    info = b"pericard kms " + purpose + b"\x00" + context
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(material)


def load_private(kind: KeyType, material: bytes) -> Any:
    """The private key object of an asymmetric type."""
    match kind.family:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.from_private_bytes(material)
        case "ml-dsa":
            return _ML_DSA[kind.size][0].from_seed_bytes(material)
        case "ml-kem":
            return _ML_KEM[kind.size][0].from_seed_bytes(material)
        case _:
            return serialization.load_der_private_key(material, None)


def load_public(kind: KeyType, data: bytes) -> Any:
    """The public key object from raw bytes (Ed25519, ml-*) or SubjectPublicKeyInfo DER."""
    match kind.family:
        case "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(data)
        case "ml-dsa":
            return _ML_DSA[kind.size][1].from_public_bytes(data)
        case "ml-kem":
            return _ML_KEM[kind.size][1].from_public_bytes(data)
        case _:
            return serialization.load_der_public_key(data)


def adopt(kind: KeyType, data: bytes) -> bytes:
    """Checks imported key material and brings it into the form of `generate`.

    Raises:
        Invalid: it is not a key of this type.
    """
    wrong = Invalid(f"the imported key is not a {kind.name} key (PKCS #8 DER for asymmetric types)")
    if kind.family == "aead":
        if len(data) != kind.size:
            raise wrong
        return data
    if kind.family == "mac":
        if not 32 <= len(data) <= 512:
            raise Invalid("an HMAC key has 32 to 512 bytes")
        return data
    if kind.family in ("ml-dsa", "ml-kem") and len(data) == (32 if kind.family == "ml-dsa" else 64):
        return data
    try:
        key: Any = serialization.load_der_private_key(data, None)
    except (ValueError, TypeError):
        raise wrong from None
    if kind.family == "ed25519" and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.private_bytes_raw()
    if kind.family == "ml-dsa" and isinstance(key, _ML_DSA[kind.size][0]):
        return bytes(key.private_bytes_raw())
    if kind.family == "ml-kem" and isinstance(key, _ML_KEM[kind.size][0]):
        return bytes(key.private_bytes_raw())
    if (kind.family == "rsa" and isinstance(key, rsa.RSAPrivateKey) and key.key_size == kind.size) or (
        kind.family == "ecdsa"
        and isinstance(key, ec.EllipticCurvePrivateKey)
        and isinstance(key.curve, type(_CURVES[kind.size]()))
    ):
        return _pkcs8(key)
    raise wrong


def private_pem(kind: KeyType, private: Any) -> str:
    """A private key as Vault exports it: PKCS #1 for RSA, SEC 1 for ECDSA, PKCS #8 for the rest."""
    form = serialization.PrivateFormat.PKCS8
    if kind.family in ("rsa", "ecdsa"):
        form = serialization.PrivateFormat.TraditionalOpenSSL
    pem: bytes = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def public_pem(public: Any) -> str:
    """A public key as SubjectPublicKeyInfo PEM."""
    pem: bytes = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()
