"""Invariant: after any crash the store holds exactly the commits that returned, whole, in order."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pericard_kms.errors import Misused, StorageFailed
from pericard_kms.storage import journal
from pericard_kms.storage.journal import JournaledStore, open_store

NAMES = st.sampled_from(["a", "a/b", "b", "c/d/e"])
COMMITS = st.lists(st.dictionaries(NAMES, st.none() | st.binary(max_size=50), max_size=3), max_size=12)


def crash(store):
    """Leaves the files as a kill -9 would: nothing drained, nothing closed in order."""
    os.close(store._file)
    store._base.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(COMMITS, st.data())
def test_a_crash_loses_nothing_that_returned(tmp_path_factory, commits, data):
    folder = tmp_path_factory.mktemp("journal")
    store = JournaledStore(folder, sync=False)
    expected, leaves = {}, []
    for values in commits:
        store.commit(values, [(len(leaves), b"leaf %d" % len(leaves))])
        leaves.append(b"leaf %d" % len(leaves))
        expected.update(values)
        match data.draw(st.sampled_from(["go on", "drain", "crash"])):
            case "drain":
                store.drain()
            case "crash":
                crash(store)
                store = JournaledStore(folder, sync=False)
    crash(store)
    store = JournaledStore(folder, sync=False)
    present = sorted(name for name, value in expected.items() if value is not None)
    assert store.names("") == present
    assert {name: store.get(name) for name in present} == {name: expected[name] for name in present}
    assert list(store.leaves(0, store.leaf_count())) == leaves
    store.close()


def test_a_torn_record_is_not_replayed(tmp_path):
    store = JournaledStore(tmp_path)
    store.commit({"a": b"1"}, [(0, b"x")])
    end = store._at
    store.commit({"a": b"2" * 100}, [(1, b"y")])
    crash(store)
    with (tmp_path / "kms.journal").open("r+b") as file:
        file.seek(end + 60)
        file.write(b"\0" * 20)
    store = JournaledStore(tmp_path)
    assert (store.get("a"), store.leaf_count()) == (b"1", 1)
    store.commit({"a": b"3"}, [(1, b"z")])
    crash(store)
    store = JournaledStore(tmp_path)
    assert store.get("a") == b"3"
    store.close()


def test_a_commit_larger_than_the_journal_is_whole(tmp_path):
    store = JournaledStore(tmp_path)
    store.commit({"small": b"1"}, [])
    big = os.urandom(journal.JOURNAL_BYTES + 1)
    store.commit({"big": big}, [(0, b"x")])
    store.commit({"small": b"2"}, [(1, b"y")])
    crash(store)
    store = JournaledStore(tmp_path)
    assert (store.get("big"), store.get("small"), store.leaf_count()) == (big, b"2", 2)
    store.close()


def test_one_process_at_a_time(tmp_path):
    store = JournaledStore(tmp_path)
    with pytest.raises(Misused, match="another KMS"):
        JournaledStore(tmp_path)
    store.close()


def test_files_are_for_the_owner_only(tmp_path):
    store = open_store(tmp_path / "new")
    store.commit({"a": b"1"}, [])
    for path in [*(tmp_path / "new").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
    store.close()


def test_a_failed_write_is_undone(tmp_path, monkeypatch):
    store = JournaledStore(tmp_path)
    store.commit({"a": b"1"}, [])

    def fails(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        with pytest.raises(StorageFailed, match="No space left"):
            store.commit({"a": b"2"}, [])
    assert store.get("a") == b"1"
    crash(store)
    store = JournaledStore(tmp_path)
    assert store.get("a") == b"1"
    store.close()


def test_only_postgresql_urls(tmp_path):
    with pytest.raises(Misused, match="not a PostgreSQL URL"):
        open_store(tmp_path, "mysql://user:secret@host/db")
