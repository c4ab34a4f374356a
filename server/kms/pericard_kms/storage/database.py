"""Where sealed bytes lie: SQLite in a file, or PostgreSQL by URL. It knows names and opaque values only.

One transaction takes everything that a group of requests changed and the audit leaves that tell of it, so
neither can be on disk without the other. A store has one process: a second would hold stale keys.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

from pericard_kms.errors import Misused, StorageFailed

log = logging.getLogger(__name__)

# "pericard" in ASCII read as a number: the advisory lock that marks a PostgreSQL database as served.
_LOCK = int.from_bytes(b"pericard", "big")
_PAGE = 2000


class Database(Protocol):
    """What the KMS asks of a database."""

    def get(self, name: str) -> bytes | None:
        """The value stored as `name`."""

    def names(self, prefix: str) -> list[str]:
        """Every name that starts with `prefix`, in byte order."""

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """The audit leaves start..stop (exclusive), in order."""

    def leaf_count(self) -> int:
        """One more than the highest leaf's index."""

    def commit(self, values: Mapping[str, bytes | None], leaves: Iterable[tuple[int, bytes]]) -> None:
        """Writes values (None deletes) and leaves, durably, all or nothing.

        Raises:
            StorageFailed: nothing was written.
        """

    def close(self) -> None:
        """Gives the database back."""


class _SqlDatabase:
    """The statements, which SQLite and PostgreSQL share but for the placeholder."""

    mark = "?"
    tables: tuple[str, ...] = (
        "CREATE TABLE IF NOT EXISTS entry (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS leaf (position INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    )
    errors: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        def marked(statement: str) -> str:
            return statement.replace("?", self.mark)

        self._get = marked("SELECT value FROM entry WHERE name = ?")
        self._names = marked("SELECT name FROM entry WHERE name >= ? AND name < ? ORDER BY name")
        self._leaves = marked("SELECT value FROM leaf WHERE position >= ? AND position < ? ORDER BY position")
        self._put = marked(
            "INSERT INTO entry (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )
        self._delete = marked("DELETE FROM entry WHERE name = ?")
        self._append = marked("INSERT INTO leaf (position, value) VALUES (?, ?)")

    def _cursor(self) -> Any:
        raise NotImplementedError

    def get(self, name: str) -> bytes | None:
        """The value stored as `name`."""
        try:
            cursor = self._cursor()
            row = cursor.execute(self._get, (name,)).fetchone()
        except self.errors as error:
            raise self._failed("read", error) from None
        return None if row is None else bytes(row[0])

    def names(self, prefix: str) -> list[str]:
        """Every name that starts with `prefix`, in byte order."""
        # The first string after every one with this prefix: names are ASCII, so the last byte can grow.
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\x7f"
        try:
            return [row[0] for row in self._cursor().execute(self._names, (prefix, after)).fetchall()]
        except self.errors as error:
            raise self._failed("read", error) from None

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """The audit leaves start..stop (exclusive), in order."""
        try:
            for page in range(start, stop, _PAGE):
                rows = self._cursor().execute(self._leaves, (page, min(page + _PAGE, stop))).fetchall()
                yield from (bytes(row[0]) for row in rows)
        except self.errors as error:
            raise self._failed("read", error) from None

    def leaf_count(self) -> int:
        """One more than the highest leaf's index."""
        row = self._cursor().execute("SELECT max(position) FROM leaf").fetchone()
        return 0 if row is None or row[0] is None else int(row[0]) + 1

    def _write(
        self, cursor: Any, values: Mapping[str, bytes | None], leaves: Iterable[tuple[int, bytes]]
    ) -> None:
        puts = [(name, value) for name, value in values.items() if value is not None]
        if puts:
            cursor.executemany(self._put, puts)
        gone = [(name,) for name, value in values.items() if value is None]
        if gone:
            cursor.executemany(self._delete, gone)
        rows = list(leaves)
        if rows:
            cursor.executemany(self._append, rows)

    def _failed(self, what: str, error: Exception) -> StorageFailed:
        log.error("the store failed to %s: %s", what, error)
        text = str(error).lower()
        if "full" in text or "no space" in text:
            return StorageFailed(
                "the disk is full: nothing was changed; free some space and repeat the request"
            )
        return StorageFailed(f"the store could not {what}: nothing was changed; the KMS's log says why")


class SqliteDatabase(_SqlDatabase):
    """A SQLite file, WAL, synchronous=FULL: a commit that returned survives a power cut."""

    errors = (sqlite3.Error,)

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Opens or makes the file, mode 0600; without `sync` a power cut may lose the last commits.

        Raises:
            Misused: another process has it open, or it cannot be made.
        """
        super().__init__()
        try:
            with ExitStack() as on_failure:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
                # One thread uses it, the event loop's; it need not be the thread that opened it.
                self._connection = on_failure.enter_context(
                    closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0))
                )
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._connection.execute("PRAGMA secure_delete = ON")  # a destroyed key leaves no page behind
                for table in self.tables:
                    self._connection.execute(table)
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("COMMIT")
                on_failure.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise Misused(f"cannot open the store {path}: {error}; is another KMS running on it?") from None

    def _cursor(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def commit(self, values: Mapping[str, bytes | None], leaves: Iterable[tuple[int, bytes]]) -> None:
        """One transaction; see `Database.commit`."""
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE")
            self._write(cursor, values, leaves)
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise self._failed("write", error) from None

    def close(self) -> None:
        """Gives the database back."""
        self._connection.close()


class PostgresDatabase(_SqlDatabase):
    """A PostgreSQL database; durability is its `synchronous_commit`, asked to be on for this session."""

    mark = "%s"
    tables = (
        'CREATE TABLE IF NOT EXISTS entry (name TEXT COLLATE "C" PRIMARY KEY, value BYTEA NOT NULL)',
        "CREATE TABLE IF NOT EXISTS leaf (position BIGINT PRIMARY KEY, value BYTEA NOT NULL)",
    )

    def __init__(self, url: str) -> None:
        """Connects, and takes the advisory lock that keeps a second KMS out.

        Raises:
            Misused: psycopg is not installed, no connection, or another KMS serves this database.
        """
        super().__init__()
        try:
            import psycopg
        except ImportError:
            raise Misused("PostgreSQL needs the package psycopg: install pericard-kms[postgresql]") from None
        self.errors = (psycopg.Error,)
        try:
            with ExitStack() as on_failure:
                self._connection = on_failure.enter_context(closing(psycopg.connect(url, autocommit=True)))
                cursor = self._connection.cursor()
                cursor.execute("SET synchronous_commit = on")
                locked = cursor.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
                if locked is None or not locked[0]:
                    raise Misused("another KMS serves this PostgreSQL database: stop it first")
                for table in self.tables:
                    cursor.execute(table)
                on_failure.pop_all()
        except psycopg.Error as error:
            raise Misused(f"cannot open the PostgreSQL store: {str(error).splitlines()[0]}") from None

    def _cursor(self) -> Any:
        return self._connection.cursor()

    def commit(self, values: Mapping[str, bytes | None], leaves: Iterable[tuple[int, bytes]]) -> None:
        """One transaction; see `Database.commit`."""
        try:
            with self._connection.transaction():
                self._write(self._connection.cursor(), values, leaves)
        except self.errors as error:
            raise self._failed("write", error) from None

    def close(self) -> None:
        """Gives the database back."""
        self._connection.close()
