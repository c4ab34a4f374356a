"""The release box: an FHE secret key on its way from the KMS's custody to one worker of the hospital.

The worker makes an ML-KEM-768 key pair (FIPS 203) for this one release; the KMS encapsulates to it and seals
the key: box = AES-256-GCM(HKDF-SHA256(shared secret), nonce 0, secret key, name ‖ 0 ‖ fingerprint).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_protocol.errors import PeerError, UsageError

# Each encapsulation gives a fresh key, and a key seals one message in its life: no nonce repeats under it.
_NONCE = bytes(12)


class ReleaseError(PeerError):
    """A release that was not sealed to this recipient, or that was changed."""

    reason = "release"


def seal_release(secret: bytes, name: str, fingerprint: str, recipient: bytes) -> tuple[bytes, bytes]:
    """(encapsulation, box) that only the holder of `recipient`, a raw ML-KEM-768 public key, opens.

    Raises:
        UsageError: `recipient` is no such key.
    """
    try:
        key = MLKEM768PublicKey.from_public_bytes(recipient)
    except ValueError:
        raise UsageError("the recipient is an ML-KEM-768 encapsulation key made for this release") from None
    shared, encapsulation = key.encapsulate()
    bound = _bound(name, fingerprint)
    return encapsulation, AESGCM(_key(shared, bound)).encrypt(_NONCE, secret, bound)


def open_release(
    box: bytes, encapsulation: bytes, name: str, fingerprint: str, recipient: MLKEM768PrivateKey
) -> bytes:
    """The secret key in the box.

    Raises:
        ReleaseError: for another recipient, name or fingerprint, or changed on the way.
    """
    bound = _bound(name, fingerprint)
    try:
        return AESGCM(_key(recipient.decapsulate(encapsulation), bound)).decrypt(_NONCE, box, bound)
    except (InvalidTag, ValueError):
        raise ReleaseError(f"the release of the FHE key {name} does not open: it is not for us") from None


def _bound(name: str, fingerprint: str) -> bytes:
    return name.encode() + b"\x00" + fingerprint.encode()


def _key(shared: bytes, bound: bytes) -> bytes:
    info = b"pericard kms fhe release\x00" + bound
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared)
