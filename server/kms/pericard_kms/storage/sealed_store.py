"""The opened store: named values behind the barrier, the audit log, and one durable commit for both.

A request changes values in memory. When it succeeded, its changes join those of the requests handled since
the last commit (`keep_request`); when it failed, they are dropped (`discard_request`). `flush` seals the
whole group and writes it in one transaction with the audit entries that tell of it. The service answers a
request only after that, so many requests pay for one disk flush, and what a client was told is on disk. When
the write fails, the whole group is dropped: memory only ever holds a copy of what is stored.
"""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from pericard_kms.errors import StorageFailed, Tampered
from pericard_kms.fields import rfc3339
from pericard_kms.storage.audit_log import AUDIT, CHECKPOINTS, AuditLog, checkpoint_name, leaf_name, tile_name
from pericard_kms.storage.barrier import BarrierKeys, open_under, seal_under, term_of
from pericard_kms.storage.database import Database

log = logging.getLogger(__name__)

KEYRING = "core/keyring"
SEAL = "core/seal"
# The count of seals under the barrier key is written every so many, and this many are added at each
# start for those that a crash may have hidden: the count on disk is never below the truth.
_COUNT_EVERY = 2**20
_RESEAL_AT_ONCE = 200


class SealedStore:
    """Values by name, sealed at rest; the audit log; and the commit that makes both durable."""

    def __init__(self, database: Database, root: bytes, clock: Callable[[], float]) -> None:
        """Opens the keyring with the root key and finds the log's end.

        Raises:
            Tampered: the root key is wrong, or the log's tiles and leaves do not fit together.
        """
        self._database = database
        self._root = root
        self.clock = clock
        blob = database.get(KEYRING)
        if blob is None:
            raise Tampered("the store holds no keyring")
        self.keyring = BarrierKeys.load(open_under(root, KEYRING, blob))
        self.keyring.terms[self.keyring.active].seals += _COUNT_EVERY
        self._counted = -_COUNT_EVERY  # so the first flush writes the raised count
        self._group: dict[str, bytes | None] = {}  # kept requests' changes, waiting for the flush
        self._request: dict[str, bytes | None] = {}  # the running request's
        self._noted: list[str] = []  # what the running request caused, for the log
        self.after_rollback: list[Callable[[], None]] = []  # caches that may be ahead of the store empty here
        self.before_flush: list[Callable[[], None]] = []  # counts that live in memory are put here
        self.failed_flush: StorageFailed | None = None  # of a request's own flush: told to the whole group
        self._resealed = self.keyring.active if len(self.keyring.terms) == 1 else 0
        self.log = AuditLog(self.require(AUDIT), self, database.leaf_count())

    def __repr__(self) -> str:
        return "SealedStore()"

    @classmethod
    def initialise(cls, database: Database, root: bytes, seal: dict[str, Any], now: float) -> None:
        """Lays a new store: keyring, audit keys and the seal's record, in one commit."""
        ring = BarrierKeys.fresh(now)
        database.commit(
            {
                KEYRING: seal_under(root, KEYRING, ring.dump()),
                SEAL: json.dumps(seal).encode(),
                AUDIT: ring.seal(AUDIT, AuditLog.fresh_keys()),
            },
            [],
        )

    # -- values ---------------------------------------------------------------------------------------

    def get(self, name: str) -> bytes | None:
        """The value of `name`, with the changes of the running request and of its group."""
        for changes in (self._request, self._group):
            if name in changes:
                return changes[name]
        blob = self._database.get(name)
        return None if blob is None else self.keyring.open(name, blob)

    def require(self, name: str) -> bytes:
        """The value of `name`, which must be there."""
        value = self.get(name)
        if value is None:
            raise Tampered(f"the store lacks {name!r}")
        return value

    def put(self, name: str, value: bytes) -> None:
        """Sets a value, for the next flush."""
        self._request[name] = value

    def delete(self, name: str) -> None:
        """Removes a value, for the next flush."""
        self._request[name] = None

    def names(self, prefix: str) -> list[str]:
        """Every name that starts with `prefix`, in order, with the changes that wait."""
        found = set(self._database.names(prefix))
        for changes in (self._group, self._request):
            for name, value in changes.items():
                if name.startswith(prefix):
                    (found.discard if value is None else found.add)(name)
        return sorted(found)

    def keep_request(self) -> None:
        """Lets the changes of a request that succeeded join the group; its events join the log."""
        if self._request:
            self._group.update(self._request)
            self._request = {}
        for text in self._noted:
            self.log.record({"time": rfc3339(self.clock()), "system": [text]})
        self._noted.clear()

    def discard_request(self) -> None:
        """Drops the changes of a request that failed; caches that may hold them are emptied."""
        self._noted.clear()
        if self._request:
            self._request = {}
            # Those caches hold the use counts of earlier requests: they are put into the store first.
            for write in self.before_flush:
                write()
            self.keep_request()
            for restore in self.after_rollback:
                restore()

    # -- the commit -----------------------------------------------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether anything waits for a flush."""
        return bool(self.log.edge.waiting or self._group or self._request)

    def flush(self) -> None:
        """Seals and writes everything that waits, durably.

        Raises:
            StorageFailed: none of it was written, and all of it is dropped.
        """
        for write in self.before_flush:
            write()
        self.keep_request()
        ring = self.keyring
        if ring.worn():
            ring.rotate(self.clock())
        counted = ring.terms[ring.active].seals
        values = {
            name: None if value is None else ring.seal(name, value) for name, value in self._group.items()
        }
        for tile, value in self.log.edge.tiles:
            values[tile_name(tile)] = ring.seal(tile_name(tile), value)
        leaves = [(at, ring.seal(leaf_name(at), leaf)) for at, leaf in self.log.edge.waiting]
        if counted >= self._counted + _COUNT_EVERY or counted < self._counted:
            values[KEYRING] = seal_under(self._root, KEYRING, ring.dump())
        try:
            self._database.commit(values, leaves)
        except StorageFailed as error:
            self._group.clear()
            self.log.edge.roll_back()
            for restore in self.after_rollback:
                restore()
            self.failed_flush = error
            raise
        if KEYRING in values:
            self._counted = counted
        self._group.clear()
        self.log.edge.committed()

    def rotate_keyring(self) -> int:
        """Makes a new barrier key, durably, before anything is sealed under it; returns its term."""
        self.flush()
        ring = BarrierKeys(dict(self.keyring.terms))
        term = ring.rotate(self.clock())
        self._database.commit({KEYRING: seal_under(self._root, KEYRING, ring.dump())}, [])
        self.keyring = ring
        self._counted = 0
        return term

    def reseal(self, limit: int = _RESEAL_AT_ONCE) -> int:
        """Seals up to `limit` values that lie under older barrier keys under the active one.

        Returns:
            How many were done; 0 means that none is left. Leaves keep their term: they are never secret
            on their own, and the older keys stay in the ring for them.
        """
        if self._resealed == self.keyring.active:
            return 0
        self.flush()
        changed: dict[str, bytes | None] = {}
        for name in self._database.names(""):
            if name in (KEYRING, SEAL):
                continue
            blob = self._database.get(name)
            if blob is not None and term_of(blob) != self.keyring.active:
                changed[name] = self.keyring.seal(name, self.keyring.open(name, blob))
                if len(changed) >= limit:
                    break
        if changed:
            self._database.commit(changed, [])
        else:
            self._resealed = self.keyring.active
        return len(changed)

    def replace_seal(self, root_record: dict[str, Any]) -> None:
        """Stores another wrapping of the same root key, after a rekey."""
        self._database.commit({SEAL: json.dumps(root_record).encode()}, [])

    def unsealed_value(self, name: str) -> bytes:
        """A value that lies outside the barrier, such as the seal's record."""
        value = self._database.get(name)
        if value is None:
            raise Tampered(f"the store lacks {name!r}")
        return value

    # -- the audit log --------------------------------------------------------------------------------

    def note_event(self, text: str) -> None:
        """Notes what the running request causes; it reaches the log if the request's changes are kept."""
        self._noted.append(text)

    def leaves(self, start: int, stop: int) -> Iterable[bytes]:
        """Durable leaves start..stop.

        Raises:
            Tampered: one was changed, moved or dropped in the store.
        """
        at = start
        for blob in self._database.leaves(start, stop):
            yield self.keyring.open(leaf_name(at), blob)
            at += 1
        if at != stop:
            raise Tampered(f"the store lacks the audit entry {at}")

    def checkpoint(self) -> str:
        """A signed checkpoint of the durable log, kept in the store as well."""
        self.flush()
        now = int(self.clock())
        note = self.log.sign_checkpoint(now)
        self.put(checkpoint_name(self.log.size), note.encode())
        self.flush()
        self.log.note_checkpoint(now)
        return note

    def checkpoint_when_due(self) -> None:
        """Signs a checkpoint when the log grew and the last one is a minute old."""
        if self.log.checkpoint_due(self.clock()):
            self.checkpoint()

    def checkpoints(self) -> list[str]:
        """Every stored checkpoint, oldest first."""
        return [self.require(name).decode() for name in self.names(CHECKPOINTS)]
