"""Signatures of every key type that signs: RSA, ECDSA, Ed25519 and ML-DSA."""

from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from pericard_kms.crypto.hashing import hash_named
from pericard_kms.crypto.key_types import KeyType
from pericard_kms.errors import Invalid


@dataclass(frozen=True, slots=True)
class SignOptions:
    """How a message becomes a signature, in Vault's words."""

    hash_name: str = "sha2-256"
    prehashed: bool = False
    scheme: str = "pss"
    salt: str = "auto"
    jws: bool = False

    def __post_init__(self) -> None:
        hash_named(self.hash_name)
        if self.scheme not in ("pss", "pkcs1v15"):
            raise Invalid(f"invalid signature algorithm {self.scheme!r}: use pss or pkcs1v15")
        if self.salt not in ("auto", "hash") and not (self.salt.isdigit() and int(self.salt) < 512):
            raise Invalid(f"invalid salt length {self.salt!r}: use auto, hash or a number of bytes")

    def algorithm(self) -> Any:
        """The hash, marked as already applied when the message is a digest."""
        chosen = hash_named(self.hash_name)
        return utils.Prehashed(chosen) if self.prehashed else chosen

    def rsa_padding(self, *, signing: bool) -> Any:
        """RSASSA-PKCS1-v1_5 or RSASSA-PSS with MGF1 over the same hash."""
        if self.scheme == "pkcs1v15":
            return padding.PKCS1v15()
        salt: Any = int(self.salt) if self.salt.isdigit() else padding.PSS.DIGEST_LENGTH
        if self.salt == "auto":
            salt = padding.PSS.MAX_LENGTH if signing else padding.PSS.AUTO
        return padding.PSS(padding.MGF1(hash_named(self.hash_name)), salt)


def sign(kind: KeyType, private: Any, message: bytes, options: SignOptions) -> bytes:
    """Signs `message`.

    Raises:
        Invalid: the options do not fit the key or the message (a digest of the wrong length).
    """
    _check_prehashed(kind, message, options)
    signature: bytes
    if kind.family == "ecdsa":
        signature = private.sign(message, ec.ECDSA(options.algorithm()))
        return _raw_ecdsa(signature, kind.size) if options.jws else signature
    try:
        if kind.family == "rsa":
            signature = private.sign(message, options.rsa_padding(signing=True), options.algorithm())
        else:
            signature = private.sign(message)
    except ValueError:
        raise Invalid("the hash or the salt is too long for this RSA key") from None
    return signature


def verify(kind: KeyType, public: Any, message: bytes, signature: bytes, options: SignOptions) -> bool:
    """Whether `signature` is this key's over `message`."""
    _check_prehashed(kind, message, options)
    try:
        if kind.family == "ecdsa":
            der = _der_ecdsa(signature, kind.size) if options.jws else signature
            public.verify(der, message, ec.ECDSA(options.algorithm()))
        elif kind.family == "rsa":
            public.verify(signature, message, options.rsa_padding(signing=False), options.algorithm())
        else:
            public.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_prehashed(kind: KeyType, message: bytes, options: SignOptions) -> None:
    if not options.prehashed:
        return
    if kind.family not in ("rsa", "ecdsa"):
        raise Invalid(f"{kind.name} signs the message itself: leave prehashed out")
    if len(message) != hash_named(options.hash_name).digest_size:
        raise Invalid(f"the input is not a {options.hash_name} digest")


def _raw_ecdsa(der: bytes, bits: int) -> bytes:
    """JWS form (RFC 7518, 3.4): r || s, each as long as the curve's order."""
    size = (bits + 7) // 8
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _der_ecdsa(raw: bytes, bits: int) -> bytes:
    size = (bits + 7) // 8
    if len(raw) != 2 * size:
        raise InvalidSignature
    return utils.encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))
