"""The spool: what was appended is there after any end, leaves when settled, is whole or not there at all."""

import os
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from pericard_gateway.devices.window import Mark
from pericard_gateway.errors import SpoolError
from pericard_gateway.uplink.spool import Depth, SealedBatch, Spool
from pericard_protocol.proto.uplink_pb2 import SealedRecord, SessionHeader, SignedSessionHeader


def _batch(session: bytes, number: int, frames: int = 3) -> SealedBatch:
    record = SealedRecord(session_id=session, number=number, ciphertext=b"c%d" % number)
    return SealedBatch(SignedSessionHeader(header=b"header of " + session), record, frames)


def test_records_come_back_in_order_and_leave_when_settled(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append([_batch(b"a", 0), _batch(b"a", 1)], {1: Mark(0, 2, 3, 1)})
        spool.append([_batch(b"b", 0)], {1: Mark(0, 2, 9, 2**64 - 1), 2: Mark(7, 1, 0, 1)})
    with Spool(tmp_path) as spool:
        assert spool.marks() == {1: Mark(0, 2, 9, 2**64 - 1), 2: Mark(7, 1, 0, 1)}
        waiting = spool.waiting_after(0, 10)
        assert [(one.record.session_id, one.record.number) for one in waiting] == [
            (b"a", 0),
            (b"a", 1),
            (b"b", 0),
        ]
        assert [one.record.session_id for one in spool.waiting_after(waiting[1].id, 10)] == [b"b"]
        assert spool.session_header(b"a").header == b"header of a"
        spool.settle([(b"a", 0), (b"b", 0)], [((b"a", 1), "because")])
        assert spool.depth == Depth(records=0, frames=0, bytes=2, refused_records=1)
        assert spool.waiting_after(0, 10) == []
        spool.append([_batch(b"b", 1)], {})
        assert spool.session_header(b"b").header == b"header of b"
        assert spool.depth == Depth(1, 3, 4, 1)


def test_the_kem_keys_of_what_is_stored_are_known(tmp_path: Path) -> None:
    def sealed(session: bytes, key_id: str) -> SealedBatch:
        header = SessionHeader(session_id=session, key_id=key_id).SerializeToString()
        return _batch(session, 0)._replace(header=SignedSessionHeader(header=header))

    with Spool(tmp_path) as spool:
        assert spool.key_ids() == frozenset()
        spool.append([sealed(b"a", "monday"), sealed(b"b", "monday"), sealed(b"c", "tuesday")], {})
        spool.settle([(b"a", 0)], [((b"c", 0), "refused, and kept aside")])
        assert spool.key_ids() == {"monday", "tuesday"}
        spool.settle([(b"b", 0)], [])
        assert spool.key_ids() == {"tuesday"}


def test_a_failed_append_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append([_batch(b"a", 0)], {1: Mark(0, 1, 1, 1)})
        with pytest.raises(sqlite3.IntegrityError):
            spool.append([_batch(b"a", 1), _batch(b"a", 0)], {1: Mark(0, 1, 2, 1)})
        assert spool.marks() == {1: Mark(0, 1, 1, 1)}
        assert len(spool.waiting_after(0, 10)) == spool.depth.records == 1


def test_nobody_else_can_read_it(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(partial(os.umask, os.umask(0o022)))
    with Spool(tmp_path / "state") as spool:
        spool.append([_batch(b"a", 0)], {})
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        files = list((tmp_path / "state").iterdir())
        assert {file.name for file in files} >= {"spool.db", "spool.db-wal", "lock"}
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(SpoolError, match="move it away") as refused:
        Spool(tmp_path)
    # Nothing is left open, though the error still has the object's frame.
    opened = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
    assert refused.value
    assert not {str(tmp_path / "spool.db"), str(tmp_path / "lock")} & opened
    (tmp_path / "spool.db").unlink()
    Spool(tmp_path).close()  # the lock was let go


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path), pytest.raises(SpoolError, match="another gateway"):
        Spool(tmp_path)
