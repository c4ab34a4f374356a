"""Hashes and HMACs by the names that the API gives the hashes."""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes

from pericard_kms.errors import Invalid

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


def mac(key: bytes, name: str, data: bytes) -> bytes:
    """HMAC of `data` with the hash that Vault calls `name`."""
    return hmac.digest(key, data, hash_named(name).name.replace("-", "_"))
