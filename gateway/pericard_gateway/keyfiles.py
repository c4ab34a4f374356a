"""Reads keys from PEM files; each function accepts the one kind of key that its use needs."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from pericard_edge import files
from pericard_edge.files import FileError


def parse_identity_key(pem: bytes, path: Path) -> MLDSA65PrivateKey:
    """This gateway's identity key; `path`, where `pem` came from, is named in the error.

    Raises:
        FileError: it is not an unencrypted ML-DSA-65 private key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, MLDSA65PrivateKey):
        raise FileError(f"identity key {path} is not an unencrypted ML-DSA-65 private key in PEM")
    return key


def read_pinned_key(path: Path) -> MLDSA65PublicKey:
    """The hospital's identity key, which signs its key bundles.

    Raises:
        FileError: it cannot be read, or is not an ML-DSA-65 public key.
    """
    key = _read_public_key(path, "pinned key")
    if not isinstance(key, MLDSA65PublicKey):
        raise FileError(f"pinned key {path} is not an ML-DSA-65 public key in PEM")
    return key


def read_update_key(path: Path) -> Ed25519PublicKey:
    """The key that signs firmware updates.

    Raises:
        FileError: it cannot be read, or is not an Ed25519 public key.
    """
    key = _read_public_key(path, "update key")
    if not isinstance(key, Ed25519PublicKey):
        raise FileError(f"update key {path} is not an Ed25519 public key: openssl pkey -pubout makes it")
    return key


def _read_public_key(path: Path, what: str) -> object:
    try:
        return load_pem_public_key(files.read(path, what))
    except (ValueError, UnsupportedAlgorithm):
        raise FileError(f"{what} {path} is not a public key in PEM") from None
