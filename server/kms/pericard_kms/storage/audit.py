"""The audit log: every request is a leaf of a Merkle tree, its secrets as HMACs; checkpoints sign it.

Checkpoints are in the form that transparency logs share (C2SP tlog-checkpoint, a signed note with an
Ed25519 line), so witnesses and tools that exist can read them. This module keeps the tree's edge and makes
leaves and checkpoints; the vault stores them; `audit_export` verifies them away from the KMS.
"""

import base64
import hashlib
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pericard_kms.crypto.merkle import Frontier, leaf_hash
from pericard_kms.errors import Tampered

# orjson writes 254 levels, and a request's fields lie three below the leaf's own. Python's own limit is no
# bound: how many levels it allows depends on its version and on the caller.
_MAX_DEPTH = 128
_ED25519_NOTE = b"\x01"  # C2SP signed-note: the signature type of Ed25519


class Recorder:
    """Turns what happened into leaves: JSON with sorted keys, every secret string an HMAC.

    The HMAC key stays in the barrier, so a reader of the log can ask the KMS whether a value is the one
    that was logged (`sys/audit-hash`) but cannot guess values offline.
    """

    def __init__(self, key: bytes) -> None:
        # RFC 2104, section 4: the two key blocks are hashed once, and copies of that state start every
        # HMAC, which more than halves its cost. A batch of 100 has 400 values.
        block = key.ljust(64, b"\x00")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __repr__(self) -> str:
        return "Recorder()"

    def hashed(self, value: str) -> str:
        """`value` as the log shows it: its HMAC-SHA256. An empty text has nothing to hide."""
        if not value:
            return ""
        inner = self._inner.copy()
        inner.update(value.encode("utf-8", "surrogatepass"))
        outer = self._outer.copy()
        outer.update(inner.digest())
        return "hmac-sha256:" + outer.hexdigest()

    def hidden(self, value: Any, depth: int = 0) -> Any:
        """A JSON value with every string in it HMAC'd; names of fields, numbers and truth values stay.

        Raises:
            RecursionError: it is nested too deep for a leaf.
        """
        kind = type(value)
        if kind is str:
            return self.hashed(value)
        if kind is not dict and kind is not list:
            return str(value) if isinstance(value, str) else value
        if depth == _MAX_DEPTH:
            raise RecursionError
        if kind is dict:
            return {name: self.hidden(part, depth + 1) for name, part in value.items()}
        return [self.hidden(part, depth + 1) for part in value]

    @staticmethod
    def leaf(entry: dict[str, Any]) -> bytes:
        """The bytes of a leaf."""
        return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)


class LogEdge:
    """The growing end of the log: the frontier, and the leaves that wait for the next commit."""

    def __init__(self, frontier: Frontier) -> None:
        self.frontier = frontier
        self._durable = frontier.copy()
        self.waiting: list[tuple[int, bytes]] = []
        self.tiles: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> int:
        """Adds a leaf; returns its position."""
        position = self.frontier.size
        self.tiles += self.frontier.append(leaf_hash(leaf))
        self.waiting.append((position, leaf))
        return position

    def committed(self) -> None:
        """What waited is on disk."""
        self._durable = self.frontier.copy()
        self.waiting.clear()
        self.tiles.clear()

    def roll_back(self) -> None:
        """What waited is lost: the log ends where the last commit left it."""
        self.frontier = self._durable.copy()
        self.waiting.clear()
        self.tiles.clear()


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
