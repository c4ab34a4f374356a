"""The spool: sealed records that wait for the hospital, and the devices' marks, in one SQLite file.

This machine cannot read the records: they were sealed before they came here. A record and the marks of its
devices are committed in one transaction. So after a crash a frame is either in the spool, and never accepted
again, or not in it, and may come again. Use it from one thread.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, Self

from pericard_gateway.devices.window import WIDTH, Mark
from pericard_gateway.errors import SpoolError
from pericard_protocol.proto.uplink_pb2 import SealedRecord, SessionHeader, SignedSessionHeader

# WAL with synchronous=FULL: a commit is on the disk when it returns (https://sqlite.org/pragma.html).
_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA journal_size_limit = 4194304;
"""
# AUTOINCREMENT: an id is never used twice, so "everything after id" misses nothing.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY,
    session_id BLOB UNIQUE NOT NULL,
    header BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id),
    number INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    ciphertext BLOB NOT NULL,
    refused TEXT,
    UNIQUE (session, number)
);
CREATE INDEX IF NOT EXISTS kept_aside ON records (refused) WHERE refused IS NOT NULL;
CREATE TABLE IF NOT EXISTS marks (
    device INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    seen BLOB NOT NULL
);
"""

RecordKey = tuple[bytes, int]


class SealedBatch(NamedTuple):
    """A record to store, its session's header, and how many frames are in it."""

    header: SignedSessionHeader
    record: SealedRecord
    frames: int


class Waiting(NamedTuple):
    """A stored record. `id` grows in the order of sealing."""

    id: int
    record: SealedRecord
    frames: int


class Depth(NamedTuple):
    """What waits, and how much was refused and is kept aside."""

    records: int = 0
    frames: int = 0
    bytes: int = 0
    refused_records: int = 0


class Spool:
    """The file `spool.db` in the state folder, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes the spool.

        Raises:
            SpoolError: another gateway holds it, or the file is damaged.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with ExitStack() as on_failure:
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            on_failure.callback(os.close, self._lock)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SpoolError(f"{folder} is in use: another gateway runs with this state folder") from None
            path = folder / "spool.db"
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's own files take this one's mode
            self._database = on_failure.enter_context(
                closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
            )
            try:
                self._database.executescript(_SETTINGS + _SCHEMA)
                self.depth = self._measure()
            except sqlite3.DatabaseError as error:
                raise SpoolError(
                    f"{path} cannot be used ({error}): move it away to start an empty spool; what waited in"
                    " it and how far the devices had come is then forgotten"
                ) from None
            on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file and lets another process take it."""
        self._database.close()
        os.close(self._lock)

    def marks(self) -> dict[int, Mark]:
        """How far each device had come at the last commit."""
        rows = self._database.execute("SELECT device, epoch, boot, seq, seen FROM marks")
        return {
            device: Mark(epoch, boot, seq, int.from_bytes(seen, "big"))
            for device, epoch, boot, seq, seen in rows
        }

    def key_ids(self) -> frozenset[str]:
        """The hospital's KEM keys under which something is still stored, refused records included."""
        rows = self._database.execute(
            "SELECT header FROM sessions WHERE id IN (SELECT DISTINCT session FROM records)"
        )
        signed = (SignedSessionHeader.FromString(header) for (header,) in rows)
        return frozenset(SessionHeader.FromString(one.header).key_id for one in signed)

    def append(self, batches: Sequence[SealedBatch], marks: Mapping[int, Mark]) -> None:
        """Stores the records and the marks of their devices; on the disk, all or nothing, when it returns.

        Raises:
            sqlite3.Error: nothing was stored (a full disk, say); the caller keeps the frames and tries again.
        """
        with _Transaction(self._database):
            for header, record, frames in batches:
                self._database.execute(
                    "INSERT OR IGNORE INTO sessions (session_id, header) VALUES (?, ?)",
                    (record.session_id, header.SerializeToString()),
                )
                self._database.execute(
                    "INSERT INTO records (session, number, frames, ciphertext)"
                    " SELECT id, ?, ?, ? FROM sessions WHERE session_id = ?",
                    (record.number, frames, record.ciphertext, record.session_id),
                )
            self._database.executemany(
                "INSERT INTO marks VALUES (?, ?, ?, ?, ?) ON CONFLICT (device) DO UPDATE"
                " SET epoch = excluded.epoch, boot = excluded.boot, seq = excluded.seq, seen = excluded.seen",
                (
                    (device, mark.epoch, mark.boot, mark.seq, mark.seen.to_bytes(WIDTH // 8, "big"))
                    for device, mark in marks.items()
                ),
            )
        self._add(
            len(batches),
            sum(batch.frames for batch in batches),
            sum(len(batch.record.ciphertext) for batch in batches),
        )

    def waiting_after(self, last: int, limit: int) -> list[Waiting]:
        """At most `limit` records after id `last`, oldest first, without those kept aside."""
        rows = self._database.execute(
            "SELECT records.id, session_id, number, ciphertext, frames FROM records"
            " JOIN sessions ON sessions.id = session"
            " WHERE records.id > ? AND refused IS NULL ORDER BY records.id LIMIT ?",
            (last, limit),
        )
        return [
            Waiting(id_, SealedRecord(session_id=session, number=number, ciphertext=ciphertext), frames)
            for id_, session, number, ciphertext, frames in rows
        ]

    def session_header(self, session_id: bytes) -> SignedSessionHeader:
        """The header of a session of which records wait."""
        row = self._database.execute(
            "SELECT header FROM sessions WHERE session_id = ?", (session_id,)
        ).fetchone()
        return SignedSessionHeader.FromString(row[0])

    def settle(self, committed: Iterable[RecordKey], refused: Iterable[tuple[RecordKey, str]]) -> None:
        """Deletes what the hospital has committed; keeps aside what it will never accept, with its reason."""
        with _Transaction(self._database):
            self._database.executemany(
                "DELETE FROM records"
                " WHERE session = (SELECT id FROM sessions WHERE session_id = ?) AND number = ?",
                committed,
            )
            self._database.executemany(
                "UPDATE records SET refused = ?"
                " WHERE session = (SELECT id FROM sessions WHERE session_id = ?) AND number = ?",
                ((reason, *key) for key, reason in refused),
            )
            self._database.execute("DELETE FROM sessions WHERE id NOT IN (SELECT session FROM records)")
        self.depth = self._measure()

    def _add(self, records: int, frames: int, size: int) -> None:
        depth = self.depth
        self.depth = depth._replace(
            records=depth.records + records, frames=depth.frames + frames, bytes=depth.bytes + size
        )

    def _measure(self) -> Depth:
        row = self._database.execute(
            "SELECT count(*) FILTER (WHERE refused IS NULL),"
            " coalesce(sum(frames) FILTER (WHERE refused IS NULL), 0),"
            " coalesce(sum(length(ciphertext)), 0), count(refused) FROM records"
        ).fetchone()
        return Depth(*row)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when the block raises."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")
