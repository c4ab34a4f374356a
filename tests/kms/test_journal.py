"""Invariant: after any crash the store holds exactly the commits that returned, whole, in order."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pericard_kms.errors import Misused, StorageFailed
from pericard_kms.storage import journal
from pericard_kms.storage.journal import JournaledDatabase, open_database

NAMES = st.sampled_from(["a", "a/b", "b", "c/d/e"])
COMMITS = st.lists(st.dictionaries(NAMES, st.none() | st.binary(max_size=50), max_size=3), max_size=12)


def crash(database: Any) -> None:
    """Leaves the files as a kill -9 would: nothing drained, nothing closed in order."""
    os.close(database._file)
    database._base.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(COMMITS, st.data())
def test_a_crash_loses_nothing_that_returned(
    tmp_path_factory: pytest.TempPathFactory, commits: Any, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    expected: dict[str, bytes | None] = {}
    leaves: list[bytes] = []
    database = JournaledDatabase(folder, sync=False)
    try:
        for values in commits:
            database.commit(values, [(len(leaves), b"leaf %d" % len(leaves))])
            leaves.append(b"leaf %d" % len(leaves))
            expected.update(values)
            match data.draw(st.sampled_from(["go on", "drain", "crash"])):
                case "drain":
                    database.drain()
                case "crash":
                    crash(database)
                    database = JournaledDatabase(folder, sync=False)
        crash(database)
        database = JournaledDatabase(folder, sync=False)
        present = sorted(name for name, value in expected.items() if value is not None)
        assert database.names("") == present
        assert {name: database.get(name) for name in present} == {name: expected[name] for name in present}
        assert list(database.leaves(0, database.leaf_count())) == leaves
    finally:  # also where Hypothesis leaves in the midst: a draw may be one more than it allows
        database.close()


def test_a_torn_record_is_not_replayed(tmp_path: Path) -> None:
    database = JournaledDatabase(tmp_path)
    database.commit({"a": b"1"}, [(0, b"x")])
    end = database._at
    database.commit({"a": b"2" * 100}, [(1, b"y")])
    crash(database)
    with (tmp_path / "kms.journal").open("r+b") as file:
        file.seek(end + 60)
        file.write(b"\0" * 20)
    database = JournaledDatabase(tmp_path)
    assert (database.get("a"), database.leaf_count()) == (b"1", 1)
    database.commit({"a": b"3"}, [(1, b"z")])
    crash(database)
    database = JournaledDatabase(tmp_path)
    assert database.get("a") == b"3"
    database.close()


def test_a_commit_larger_than_the_journal_is_whole(tmp_path: Path) -> None:
    database = JournaledDatabase(tmp_path)
    database.commit({"small": b"1"}, [])
    big = os.urandom(journal.JOURNAL_BYTES + 1)
    database.commit({"big": big}, [(0, b"x")])
    database.commit({"small": b"2"}, [(1, b"y")])
    crash(database)
    database = JournaledDatabase(tmp_path)
    assert (database.get("big"), database.get("small"), database.leaf_count()) == (big, b"2", 2)
    database.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    database = JournaledDatabase(tmp_path)
    with pytest.raises(Misused, match="another KMS"):
        JournaledDatabase(tmp_path)
    database.close()


def test_a_store_that_did_not_open_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "kms.journal").mkdir()
    with pytest.raises(Misused, match="cannot make the journal") as refused:
        JournaledDatabase(tmp_path)
    (tmp_path / "kms.journal").rmdir()
    # SQLite's lock is gone, though the error still holds the frame that took it.
    JournaledDatabase(tmp_path).close()
    assert refused.value


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new")
    database.commit({"a": b"1"}, [])
    for path in [*(tmp_path / "new").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
    database.close()


def test_a_failed_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = JournaledDatabase(tmp_path)
    database.commit({"a": b"1"}, [])

    def fails(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        with pytest.raises(StorageFailed, match="No space left"):
            database.commit({"a": b"2"}, [])
    assert database.get("a") == b"1"
    crash(database)
    database = JournaledDatabase(tmp_path)
    assert database.get("a") == b"1"
    database.close()


def test_only_postgresql_urls(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="not a PostgreSQL URL"):
        open_database(tmp_path, "mysql://user:secret@host/db")
