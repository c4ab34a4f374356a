"""The audit log: every request is a leaf of a Merkle tree, its secrets as HMACs.

This module keeps the keys and the growing end of the log, and makes leaves and checkpoints. The store writes
them, in the same commit as what they tell of; `audit_export` verifies them away from the KMS.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import Any, Protocol

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pericard_kms.crypto.checkpoints import sign_checkpoint
from pericard_kms.crypto.merkle import TILE, TILE_LEVEL, Frontier, Tree, leaf_hash

# orjson writes 254 levels, and a request's fields lie three below the leaf's own. Python's own limit is no
# bound: how many levels it allows depends on its version and on the caller.
_MAX_DEPTH = 128
AUDIT = "core/audit"
CHECKPOINTS = f"{AUDIT}/checkpoint/"
CHECKPOINT_EVERY_S = 60.0


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


class LogStore(Protocol):
    """What the log reads of the store: its own leaves and tiles, as they were written."""

    def leaves(self, start: int, stop: int) -> Iterable[bytes]:
        """The durable leaves start..stop (exclusive)."""

    def require(self, name: str) -> bytes:
        """The value of `name`, which must be there."""


class AuditLog:
    """The opened log: its keys, its growing end, and the tree over what is durable."""

    def __init__(self, keys: bytes, store: LogStore, size: int) -> None:
        """Finds the end of a log of `size` durable leaves; `keys` are those that `fresh_keys` made.

        Raises:
            Tampered: the log's tiles and leaves do not fit together.
        """
        secrets = orjson.loads(keys)
        self.recorder = Recorder(bytes.fromhex(secrets["hmac"]))
        self._signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secrets["signer"]))
        self.origin: str = secrets["origin"]
        self._store = store
        self.edge = LogEdge(self._find_end(size))
        self._signed_size, self._due = -1, 0.0

    def __repr__(self) -> str:
        return "AuditLog()"

    @staticmethod
    def fresh_keys() -> bytes:
        """The keys of a new log, to be stored behind the barrier, and its name."""
        return orjson.dumps(
            {
                "hmac": os.urandom(32).hex(),
                "signer": Ed25519PrivateKey.generate().private_bytes_raw().hex(),
                "origin": f"pericard-kms/{os.urandom(8).hex()}",
            }
        )

    @property
    def size(self) -> int:
        """How many entries there are, those that wait for the commit included."""
        return self.edge.frontier.size

    def record(self, entry: dict[str, Any]) -> int:
        """Appends an entry, durable with the next commit; returns its position."""
        entry["position"] = self.size
        return self.edge.append(self.recorder.leaf(entry))

    @property
    def tree(self) -> Tree:
        """The log as a tree, for proofs."""
        return Tree(
            lambda start, stop: [leaf_hash(leaf) for leaf in self._store.leaves(start, stop)],
            lambda start, stop: [self._store.require(tile_name(tile)) for tile in range(start, stop)],
        )

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key that signs checkpoints, 32 bytes."""
        return self._signer.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature by the log's key, on receipts and leases; the caller separates domains."""
        return self._signer.sign(message)

    def sign_checkpoint(self, now: int) -> str:
        """A signed checkpoint; everything appended so far must be durable."""
        return sign_checkpoint(self._signer, self.origin, self.size, self.edge.frontier.root(), now)

    def note_checkpoint(self, now: float) -> None:
        """Notes that a checkpoint of the whole log was stored: the next one is due a minute later."""
        self._signed_size, self._due = self.size, now + CHECKPOINT_EVERY_S

    def checkpoint_due(self, now: float) -> bool:
        """Whether the log grew and its last checkpoint is a minute old."""
        return self.size > self._signed_size and now >= self._due

    def _find_end(self, size: int) -> Frontier:
        frontier = Frontier()
        for tile in range(size // TILE):
            frontier.append(self._store.require(tile_name(tile)), TILE_LEVEL)
        for leaf in self._store.leaves(frontier.size, size):
            frontier.append(leaf_hash(leaf))
        return frontier


def leaf_name(position: int) -> str:
    """The name that a leaf is sealed under."""
    return f"{AUDIT}/leaf/{position}"


def tile_name(number: int) -> str:
    """The name that the hash of a tile of leaves is stored under."""
    return f"{AUDIT}/tile/{number:020}"


def checkpoint_name(size: int) -> str:
    """The name that the checkpoint of a log of `size` entries is stored under."""
    return f"{CHECKPOINTS}{size:020}"
