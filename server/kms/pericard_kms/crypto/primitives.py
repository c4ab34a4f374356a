"""The key types and what each does with bytes, all through `cryptography` (OpenSSL). No policy, no storage.

Symmetric encryption derives a fresh key for every message:

    message key = HMAC-SHA256(K, [1] || label || 0x00 || salt || [L])   SP 800-108r1, counter mode
    ciphertext  = salt (16) || nonce (12) || AEAD(message key, nonce, plaintext, associated data)

salt and nonce are 28 random bytes, so two messages share key and nonce with probability 2^-224 per pair:
a version key never wears out from random 96-bit nonces, as plain AES-GCM does after 2^32 messages. The
convergent form takes the 28 bytes from an HMAC of plaintext and associated data under a separate key, so
equal input gives equal output and different inputs never share a nonce.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding

from pericard_kms.errors import Invalid

Kind = Literal["aead", "mac", "rsa", "ecdsa", "ed25519", "ml-dsa", "ml-kem"]

SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
_LABEL = b"pericard kms transit message"


@dataclass(frozen=True, slots=True)
class KeyType:
    """What a key type can do; `limit` is how many times a version may protect data before it is rotated."""

    name: str
    kind: Kind
    size: int  # bytes of a symmetric key, bits of an RSA modulus, the parameter set of ml-*
    limit: int

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts data (ML-KEM encapsulates instead)."""
        return self.kind in ("aead", "rsa")

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        return self.kind in ("rsa", "ecdsa", "ed25519", "ml-dsa")

    @property
    def derives(self) -> bool:
        """Whether a context can derive keys from it."""
        return self.kind in ("aead", "ed25519")

    @property
    def asymmetric(self) -> bool:
        """Whether it has a public half."""
        return self.kind not in ("aead", "mac")


# Limits. AEAD: the per-message keys allow far more; 2^32 keeps the habitual cryptoperiod of AES-GCM
# (SP 800-38D, 8.3) so an auditor need not follow our argument. Signatures: SP 800-57 bounds time, not
# number; 2^48 is out of reach and merely exact. ML-KEM decapsulations: likewise.
_AEAD_LIMIT = 2**32
_OTHER_LIMIT = 2**48
TYPES = {
    kind.name: kind
    for kind in (
        KeyType("aes128-gcm96", "aead", 16, _AEAD_LIMIT),
        KeyType("aes256-gcm96", "aead", 32, _AEAD_LIMIT),
        KeyType("aes256-gcm-siv", "aead", 32, _AEAD_LIMIT),
        KeyType("chacha20-poly1305", "aead", 32, _AEAD_LIMIT),
        KeyType("ed25519", "ed25519", 32, _OTHER_LIMIT),
        KeyType("ecdsa-p256", "ecdsa", 256, _OTHER_LIMIT),
        KeyType("ecdsa-p384", "ecdsa", 384, _OTHER_LIMIT),
        KeyType("ecdsa-p521", "ecdsa", 521, _OTHER_LIMIT),
        KeyType("rsa-2048", "rsa", 2048, _OTHER_LIMIT),
        KeyType("rsa-3072", "rsa", 3072, _OTHER_LIMIT),
        KeyType("rsa-4096", "rsa", 4096, _OTHER_LIMIT),
        KeyType("hmac", "mac", 32, _OTHER_LIMIT),
        KeyType("ml-dsa-44", "ml-dsa", 44, _OTHER_LIMIT),
        KeyType("ml-dsa-65", "ml-dsa", 65, _OTHER_LIMIT),
        KeyType("ml-dsa-87", "ml-dsa", 87, _OTHER_LIMIT),
        KeyType("ml-kem-768", "ml-kem", 768, _OTHER_LIMIT),
        KeyType("ml-kem-1024", "ml-kem", 1024, _OTHER_LIMIT),
    )
}

_AEADS: dict[str, Any] = {
    "aes128-gcm96": AESGCM,
    "aes256-gcm96": AESGCM,
    "aes256-gcm-siv": AESGCMSIV,
    "chacha20-poly1305": ChaCha20Poly1305,
}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha2-224": hashes.SHA224(),
    "sha2-256": hashes.SHA256(),
    "sha2-384": hashes.SHA384(),
    "sha2-512": hashes.SHA512(),
    "sha3-224": hashes.SHA3_224(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
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


def hash_named(name: str) -> hashes.HashAlgorithm:
    """The hash that Vault calls `name`.

    Raises:
        Invalid: there is none, or it is SHA-1, which protects nothing any more.
    """
    found = HASHES.get(name)
    if found is None:
        raise Invalid(f"unsupported hash algorithm {name!r}: use one of {', '.join(HASHES)}")
    return found


def digest(name: str, data: bytes) -> bytes:
    """The hash `name` of `data`."""
    return hashlib.new(hash_named(name).name.replace("-", "_"), data, usedforsecurity=True).digest()


# -- making keys ------------------------------------------------------------------------------------


def generate(kind: KeyType, size: int = 0) -> bytes:
    """Fresh key material: raw bytes for symmetric keys, seeds for Ed25519 and ml-*, PKCS #8 for the rest.

    `size` is the length of an HMAC key in bytes.
    """
    match kind.kind:
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


def load_private(kind: KeyType, material: bytes) -> Any:
    """The private key object of an asymmetric type."""
    match kind.kind:
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
    match kind.kind:
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
    if kind.kind == "aead":
        if len(data) != kind.size:
            raise wrong
        return data
    if kind.kind == "mac":
        if not 32 <= len(data) <= 512:
            raise Invalid("an HMAC key has 32 to 512 bytes")
        return data
    if kind.kind in ("ml-dsa", "ml-kem") and len(data) == (32 if kind.kind == "ml-dsa" else 64):
        return data
    try:
        key: Any = serialization.load_der_private_key(data, None)
    except (ValueError, TypeError):
        raise wrong from None
    if kind.kind == "ed25519" and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.private_bytes_raw()
    if kind.kind == "ml-dsa" and isinstance(key, _ML_DSA[kind.size][0]):
        return bytes(key.private_bytes_raw())
    if kind.kind == "ml-kem" and isinstance(key, _ML_KEM[kind.size][0]):
        return bytes(key.private_bytes_raw())
    if (kind.kind == "rsa" and isinstance(key, rsa.RSAPrivateKey) and key.key_size == kind.size) or (
        kind.kind == "ecdsa"
        and isinstance(key, ec.EllipticCurvePrivateKey)
        and isinstance(key.curve, type(_CURVES[kind.size]()))
    ):
        return _pkcs8(key)
    raise wrong


def private_pem(kind: KeyType, private: Any) -> str:
    """A private key as Vault exports it: PKCS #1 for RSA, SEC 1 for ECDSA, PKCS #8 for the rest."""
    form = serialization.PrivateFormat.PKCS8
    if kind.kind in ("rsa", "ecdsa"):
        form = serialization.PrivateFormat.TraditionalOpenSSL
    pem: bytes = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def public_pem(public: Any) -> str:
    """A public key as SubjectPublicKeyInfo PEM."""
    pem: bytes = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()


# -- symmetric --------------------------------------------------------------------------------------


def derive(material: bytes, context: bytes, purpose: bytes = b"key") -> bytes:
    """A 32-byte key for `context` (HKDF-SHA256, RFC 5869): `info` is purpose and context, length-framed."""
    info = b"pericard kms " + purpose + b"\x00" + context
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(material)


def _message_key(key: bytes, salt: bytes, size: int) -> bytes:
    block = b"\x00\x00\x00\x01" + _LABEL + b"\x00" + salt + (size * 8).to_bytes(4, "big")
    return hmac.digest(key, block, "sha256")[:size]


def aead(name: str, key: bytes) -> Any:
    """The bare AEAD of a key type under `key`: what the published vectors are run against."""
    return _AEADS[name](key)


def seal(
    kind: KeyType, key: bytes, plaintext: bytes, associated: bytes, *, convergent: bool = False
) -> bytes:
    """Encrypts one message; see the module's text for the layout."""
    if convergent:
        framed = len(associated).to_bytes(8, "big") + associated + plaintext
        random = hmac.digest(derive(key, b"", b"convergent"), framed, "sha256")[: SALT_BYTES + NONCE_BYTES]
    else:
        random = os.urandom(SALT_BYTES + NONCE_BYTES)
    cipher = _AEADS[kind.name](_message_key(key, random[:SALT_BYTES], kind.size))
    sealed: bytes = cipher.encrypt(random[SALT_BYTES:], plaintext, associated or None)
    return random + sealed


def open_sealed(kind: KeyType, key: bytes, box: bytes, associated: bytes) -> bytes:
    """The inverse of `seal`.

    Raises:
        Invalid: too short, changed, or sealed under another key or associated data.
    """
    if len(box) < SALT_BYTES + NONCE_BYTES + TAG_BYTES:
        raise Invalid("invalid ciphertext length")
    cipher = _AEADS[kind.name](_message_key(key, box[:SALT_BYTES], kind.size))
    try:
        opened: bytes = cipher.decrypt(
            box[SALT_BYTES : SALT_BYTES + NONCE_BYTES], box[SALT_BYTES + NONCE_BYTES :], associated or None
        )
    except InvalidTag:
        raise Invalid("invalid ciphertext: message authentication failed") from None
    return opened


def mac(key: bytes, name: str, data: bytes) -> bytes:
    """HMAC of `data` with the hash that Vault calls `name`."""
    return hmac.digest(key, data, hash_named(name).name.replace("-", "_"))


# -- RSA encryption ---------------------------------------------------------------------------------

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
        Invalid: it does not open, for whatever reason: one message for all, or it would be an oracle.
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


def unwrap_padded(kek: bytes, wrapped: bytes) -> bytes:
    """AES-KWP (RFC 5649) opened.

    Raises:
        Invalid: it does not open.
    """
    try:
        return aes_key_unwrap_with_padding(kek, wrapped)
    except InvalidUnwrap:
        raise Invalid("the wrapped key does not open") from None


# -- signatures -------------------------------------------------------------------------------------


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
    if kind.kind == "ecdsa":
        signature = private.sign(message, ec.ECDSA(options.algorithm()))
        return _raw_ecdsa(signature, kind.size) if options.jws else signature
    try:
        if kind.kind == "rsa":
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
        if kind.kind == "ecdsa":
            der = _der_ecdsa(signature, kind.size) if options.jws else signature
            public.verify(der, message, ec.ECDSA(options.algorithm()))
        elif kind.kind == "rsa":
            public.verify(signature, message, options.rsa_padding(signing=False), options.algorithm())
        else:
            public.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_prehashed(kind: KeyType, message: bytes, options: SignOptions) -> None:
    if not options.prehashed:
        return
    if kind.kind not in ("rsa", "ecdsa"):
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


# -- ML-KEM -----------------------------------------------------------------------------------------


def encapsulate(public: Any) -> tuple[bytes, bytes]:
    """(ciphertext, shared secret) of ML-KEM (FIPS 203, algorithm 20)."""
    shared, ciphertext = public.encapsulate()
    return bytes(ciphertext), bytes(shared)


def decapsulate(private: Any, ciphertext: bytes) -> bytes:
    """The shared secret (FIPS 203, algorithm 21); a changed ciphertext gives another secret, by design.

    Raises:
        Invalid: the ciphertext has not the length of this parameter set.
    """
    try:
        return bytes(private.decapsulate(ciphertext))
    except ValueError:
        raise Invalid("the ML-KEM ciphertext has the wrong length") from None
