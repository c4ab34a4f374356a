"""A write-ahead journal in front of SQLite: one overwrite and one fdatasync make a commit durable.

Why: a SQLite commit appends pages to a growing file, and each sync then also commits file-system metadata.
Here commits overwrite a file that was filled beforehand, so the sync moves data only: about half the time,
and that time is most of what one request costs. SQLite takes many commits at once, later, in one transaction
that also notes the last sequence number it holds.

    record = sequence (8) || length (4) || first 16 bytes of SHA-256(sequence || length || payload) || payload

After a drain the journal is written from its start again. On opening, records are replayed from the start as
long as sequence numbers continue from the last drained one and checksums hold: what a crash tore, and the
older records behind it, end the replay. (The checksum finds torn writes. A changed bit in a sealed value is
found when the barrier opens it.)
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pericard_kms.errors import Misused, StorageFailed
from pericard_kms.storage.database import Database, PostgresDatabase, SqliteDatabase

_RECORD = struct.Struct(">QI16s")
_ENTRY = struct.Struct(">Hi")  # name length, value length or -1 for a deletion
_LEAF = struct.Struct(">QI")
# 16 MiB: some ten thousand requests until the journal is full and moves into SQLite. A commit that is larger
# than the whole journal (a request's body may have 32 MiB) goes to SQLite at once.
JOURNAL_BYTES = 16 * 1024 * 1024
_DRAIN_LEAVES = 2000
_APPLIED = "journal/applied"

Values = dict[str, bytes | None]
Leaves = list[tuple[int, bytes]]


def _pack(values: Mapping[str, bytes | None], leaves: Leaves) -> bytes:
    parts = [struct.pack(">I", len(values))]
    for name, value in values.items():
        raw = name.encode()
        parts += (_ENTRY.pack(len(raw), -1 if value is None else len(value)), raw, value or b"")
    for position, leaf in leaves:
        parts += (_LEAF.pack(position, len(leaf)), leaf)
    return b"".join(parts)


def _unpack(payload: bytes) -> tuple[Values, Leaves]:
    values: Values = {}
    leaves: Leaves = []
    (count,) = struct.unpack_from(">I", payload)
    at = 4
    for _ in range(count):
        name_length, length = _ENTRY.unpack_from(payload, at)
        at += _ENTRY.size
        name = payload[at : at + name_length].decode()
        at += name_length
        values[name] = None if length < 0 else payload[at : at + length]
        at += max(length, 0)
    while at < len(payload):
        position, length = _LEAF.unpack_from(payload, at)
        at += _LEAF.size
        leaves.append((position, payload[at : at + length]))
        at += length
    return values, leaves


def _checksum(sequence: int, payload: bytes) -> bytes:
    head = struct.pack(">QI", sequence, len(payload))
    return hashlib.sha256(head + payload).digest()[:16]


class JournaledDatabase:
    """SQLite with the journal before it; a `Database`."""

    def __init__(self, data: Path, *, sync: bool = True) -> None:
        """Opens both files in `data` and replays what the journal holds.

        Without `sync` a commit is written but not flushed to the disk: a killed process loses nothing, a
        power cut may lose the last moments. That is what OpenBao's file audit device gives, and what it is
        compared under; a hospital keeps the default.

        Raises:
            Misused: another process has them, or they cannot be made.
        """
        self._sync = sync
        self._values: Values = {}
        self._leaves: Leaves = []
        with contextlib.ExitStack() as on_failure:
            self._base = on_failure.enter_context(
                contextlib.closing(SqliteDatabase(data / "kms.sqlite3", sync=sync))
            )
            applied = self._base.get(_APPLIED)
            self._sequence = int.from_bytes(applied or b"", "big")
            try:
                self._file = os.open(data / "kms.journal", os.O_RDWR | os.O_CREAT, 0o600)
                on_failure.callback(os.close, self._file)
                if os.fstat(self._file).st_size < JOURNAL_BYTES:
                    _fill(self._file, data)
            except OSError as error:
                raise Misused(f"cannot make the journal in {data}: {error.strerror}") from None
            self._at = 0
            for values, leaves in self._replay():
                self._values.update(values)
                self._leaves += leaves
            self.drain()
            on_failure.pop_all()

    def _replay(self) -> Iterator[tuple[Values, Leaves]]:
        whole = os.pread(self._file, JOURNAL_BYTES, 0)
        at = 0
        while at + _RECORD.size <= len(whole):
            sequence, length, checksum = _RECORD.unpack_from(whole, at)
            payload = whole[at + _RECORD.size : at + _RECORD.size + length]
            if sequence != self._sequence + 1 or checksum != _checksum(sequence, payload):
                return
            self._sequence = sequence
            at += _RECORD.size + length
            yield _unpack(payload)

    def commit(self, values: Mapping[str, bytes | None], leaves: Iterable[tuple[int, bytes]]) -> None:
        """One durable record.

        Raises:
            StorageFailed: nothing was written.
        """
        rows = list(leaves)
        payload = _pack(values, rows)
        size = _RECORD.size + len(payload)
        if self._at + size > JOURNAL_BYTES or len(self._leaves) >= _DRAIN_LEAVES:
            self.drain()
        if size > JOURNAL_BYTES:
            self._base.commit(values, rows)
            return
        record = (
            _RECORD.pack(self._sequence + 1, len(payload), _checksum(self._sequence + 1, payload)) + payload
        )
        try:
            os.pwrite(self._file, record, self._at)
            if self._sync:
                os.fdatasync(self._file)
        except OSError as error:
            # What reached the disk of it is made invalid, so no replay brings back what we call failed.
            with contextlib.suppress(OSError):
                os.pwrite(self._file, bytes(_RECORD.size), self._at)
            raise StorageFailed(
                f"the journal could not be written ({error.strerror}): nothing was changed"
            ) from None
        self._sequence += 1
        self._at += size
        self._values.update(values)
        self._leaves += rows

    def drain(self) -> None:
        """Moves everything into SQLite and starts the journal over.

        Raises:
            StorageFailed: SQLite did not take it; it stays in the journal, and nothing is lost.
        """
        if self._values or self._leaves:
            applied = self._sequence.to_bytes(8, "big")
            self._base.commit({**self._values, _APPLIED: applied}, self._leaves)
            self._values, self._leaves = {}, []
        self._at = 0

    def get(self, name: str) -> bytes | None:
        """The value stored as `name`."""
        return self._values[name] if name in self._values else self._base.get(name)

    def names(self, prefix: str) -> list[str]:
        """Every name that starts with `prefix`, in byte order."""
        self.drain()
        return [name for name in self._base.names(prefix) if name != _APPLIED]

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """The audit leaves start..stop (exclusive), in order."""
        self.drain()
        return self._base.leaves(start, stop)

    def leaf_count(self) -> int:
        """One more than the highest leaf's index."""
        self.drain()
        return self._base.leaf_count()

    def close(self) -> None:
        """Drains and closes both files."""
        self.drain()
        os.close(self._file)
        self._base.close()


def _fill(file: int, folder: Path) -> None:
    """Writes the journal's blocks once, so that later writes change no metadata."""
    block = bytes(1024 * 1024)
    for at in range(0, JOURNAL_BYTES, len(block)):
        os.pwrite(file, block, at)
    os.fsync(file)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def open_database(data: Path, url: str | None = None, *, sync: bool = True) -> Database:
    """The store of the KMS whose folder is `data`: SQLite and journal there, or PostgreSQL at `url`.

    Raises:
        Misused: it cannot be opened, or another KMS has it.
    """
    if url is None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return JournaledDatabase(data, sync=sync)
    if not url.startswith(("postgresql://", "postgres://")):
        raise Misused(f"not a PostgreSQL URL: {url.split('://')[0]}://…; leave --database out for SQLite")
    return PostgresDatabase(url)
