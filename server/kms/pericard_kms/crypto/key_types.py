"""The key types: their names in the API, and what each can do. A table, nothing else."""

from dataclasses import dataclass
from typing import Literal

Family = Literal["aead", "mac", "rsa", "ecdsa", "ed25519", "ml-dsa", "ml-kem"]


@dataclass(frozen=True, slots=True)
class KeyType:
    """What a key type can do; `limit` is how many times a version may protect data before it is rotated."""

    name: str
    family: Family
    size: int  # bytes of a symmetric key, bits of an RSA modulus, the parameter set of ml-*
    limit: int

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts data (ML-KEM encapsulates instead)."""
        return self.family in ("aead", "rsa")

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        return self.family in ("rsa", "ecdsa", "ed25519", "ml-dsa")

    @property
    def derives(self) -> bool:
        """Whether a context can derive keys from it."""
        return self.family in ("aead", "ed25519")

    @property
    def asymmetric(self) -> bool:
        """Whether it has a public half."""
        return self.family not in ("aead", "mac")


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
