"""Signed checkpoints of a log, in the form that transparency logs share. No I/O.

A checkpoint is a C2SP tlog-checkpoint: a signed note with an Ed25519 line, so witnesses and tools that exist
can read it.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pericard_kms.errors import Tampered

_ED25519_NOTE = b"\x01"  # C2SP signed-note: the signature type of Ed25519


def _key_id(origin: str, public: bytes) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519_NOTE + public).digest()[:4]


def sign_checkpoint(key: Ed25519PrivateKey, origin: str, size: int, root: bytes, time: int) -> str:
    """A signed checkpoint of a log of `size` entries; `time` (Unix seconds) stands in an extension line."""
    body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\ntime {time}\n"
    public = key.public_key().public_bytes_raw()
    signature = base64.b64encode(_key_id(origin, public) + key.sign(body.encode())).decode()
    return f"{body}\n\u2014 {origin} {signature}\n"


def open_checkpoint(note: str, public: bytes) -> tuple[str, int, bytes, int]:
    """(origin, size, root, time) of a checkpoint signed by `public`.

    Raises:
        Tampered: not a checkpoint, or not signed by this key.
    """
    wrong = Tampered("the checkpoint is not one that this log's key signed")
    body, gap, signatures = note.partition("\n\n")
    body += "\n"
    lines = body.splitlines()
    if not gap or len(lines) != 4 or not lines[3].startswith("time "):
        raise wrong
    origin = lines[0]
    try:
        size, root, time = int(lines[1]), base64.b64decode(lines[2], validate=True), int(lines[3][5:])
        for line in signatures.splitlines():
            dash, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
            if (dash, name) == ("\u2014", origin) and raw[:4] == _key_id(origin, public):
                Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], body.encode())
                return origin, size, root, time
    except (ValueError, InvalidSignature):
        raise wrong from None
    raise wrong
