"""The hybrid suite with another provider's ML-KEM: `cryptography`'s HPKE accepts only its own library's keys.

The same bytes as `suites.Hybrid`: HPKE in base mode, one message (RFC 9180, section 6.1), with the KEM
MLKEM768-X25519 (draft-ietf-hpke-pq, also known as X-Wing), HKDF-SHA256 and AES-256-GCM. Only the composition
is here: ML-KEM is the given suite's; X25519, SHA3-256, HKDF and AES-GCM are `cryptography`'s.
"""

import secrets

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA3_256, SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from pericard_protocol.uplink.suites import Hybrid, KemError, KemSuite, checked

_CURVE_BYTES = 32
_PRIVATE_BYTES, _PUBLIC_BYTES = 64 + _CURVE_BYTES, 1184 + _CURVE_BYTES
_SHARES_BYTES = 1088 + _CURVE_BYTES  # ML-KEM's ciphertext and X25519's share
_WRAPPED_BYTES = _SHARES_BYTES + 32 + 16  # and the sealed secret, with its tag
# RFC 9180, section 5.1: "HPKE" ‖ kem_id ‖ kdf_id (HKDF-SHA256) ‖ aead_id (AES-256-GCM).
_SUITE_ID = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (Hybrid.id, 1, 2))
_LABEL = b"\\.//^\\"  # draft-connolly-cfrg-xwing-kem, section 5.3


class HybridOver:
    """X25519 beside the ML-KEM-768 of another suite."""

    id = Hybrid.id
    name = Hybrid.name

    def __init__(self, lattice: KemSuite) -> None:
        self._lattice = lattice

    def generate(self) -> tuple[bytes, bytes]:
        """A new (96-byte private key, 1,216-byte public key)."""
        private, public = self._lattice.generate()
        curve = X25519PrivateKey.generate()
        return private + curve.private_bytes_raw(), public + curve.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, 1,168-byte encapsulation)."""
        self._check(len(public) == _PUBLIC_BYTES)
        recipient = public[-_CURVE_BYTES:]
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        agreed = checked(lambda: ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient)), self.name)
        lattice_secret, lattice_share = self._lattice.encapsulate(public[:-_CURVE_BYTES])
        key, nonce = _schedule(_combine(lattice_secret, agreed, share, recipient))
        secret = secrets.token_bytes(32)
        # The nonce is HPKE's for its first message. It cannot repeat under `key`: that is new for each
        # encapsulation and seals this one message.
        return secret, lattice_share + share + AESGCM(key).encrypt(nonce, secret, b"")

    def decapsulate(self, private: bytes, wrapped: bytes) -> bytes:
        """The 32-byte secret. One made for another key is refused: its tag does not verify."""
        self._check(len(private) == _PRIVATE_BYTES and len(wrapped) == _WRAPPED_BYTES)
        curve = X25519PrivateKey.from_private_bytes(private[-_CURVE_BYTES:])
        share = wrapped[_SHARES_BYTES - _CURVE_BYTES : _SHARES_BYTES]
        agreed = checked(lambda: curve.exchange(X25519PublicKey.from_public_bytes(share)), self.name)
        lattice_secret = self._lattice.decapsulate(
            private[:-_CURVE_BYTES], wrapped[: _SHARES_BYTES - _CURVE_BYTES]
        )
        key, nonce = _schedule(_combine(lattice_secret, agreed, share, curve.public_key().public_bytes_raw()))
        return checked(lambda: AESGCM(key).decrypt(nonce, wrapped[_SHARES_BYTES:], b""), self.name)

    def _check(self, right: bool) -> None:
        if not right:
            raise KemError(f"not a key or encapsulation of {self.name}")


def _combine(lattice: bytes, agreed: bytes, share: bytes, recipient: bytes) -> bytes:
    # X-Wing hashes X25519's public values beside the two secrets, because other public values could give the
    # same X25519 secret. For ML-KEM nobody can find a second ciphertext with the same secret.
    combined = Hash(SHA3_256())
    combined.update(lattice + agreed + share + recipient + _LABEL)
    return combined.finalize()


def _schedule(shared: bytes) -> tuple[bytes, bytes]:
    """The 32-byte key and 12-byte nonce (RFC 9180, section 5.1): mode 0, base; PSK and its id are empty."""
    context = b"\0" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", Hybrid.info)
    secret = _extract(shared, b"secret", b"")
    return _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)


def _extract(salt: bytes, label: bytes, key: bytes) -> bytes:
    return HKDF.extract(SHA256(), salt, b"HPKE-v1" + _SUITE_ID + label + key)


def _expand(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    info = size.to_bytes(2, "big") + b"HPKE-v1" + _SUITE_ID + label + context
    return HKDFExpand(SHA256(), size, info).derive(key)
