"""`pericard bench ingest`: what a frame costs the hospital, against the bare primitives, in one run.

The floor is AES-256-GCM open of each record, the at-rest suite's own seal of each payload under one ready
key, and one `executemany` and commit a record into an SQLite table with the columns and indexes of `Reading`.
The hospital's cost is all of `SessionOpener.open` and `Records.commit`: sessions, protobuf, data keys,
assignments, duplicates, Django. Both by the wall clock, on the same disk.
"""

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, SealedRecord
from pericard_protocol.uplink.providers import provider
from pericard_protocol.uplink.session import SessionOpener, SessionSealer
from pericard_protocol.uplink.suites import DEFAULT_SUITE, suite_of
from pericard_server.custody.folder import KeyFolder
from pericard_server.records.suites import SUITES, AtRestSuite
from pericard_tools.bench.load import DEVICES, opened_frames
from pericard_tools.bench.shape import BenchFailed, Measured, benchmark, by_turns, median_ratio, percentiles

BATCH_FRAMES = 256

_TABLE = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE reading (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device, epoch, boot, seq, type, received, patient, key, suite, sealed BLOB
);
CREATE UNIQUE INDEX one_row_per_frame ON reading (device, epoch, boot, seq);
CREATE INDEX by_patient ON reading (patient, received);
"""

_ROW = "INSERT INTO reading VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class _IngestSession:
    """One sealed session of the load, and what opens it."""

    def __init__(self, frames: list[OpenedFrame]) -> None:
        private, public = DEFAULT_SUITE.generate()
        now = int(time.time())
        bundle = KeyBundle(
            key_id="bench",
            suite=DEFAULT_SUITE.id,
            public_key=public,
            not_before=now - 1,
            not_after=now + 3600,
        )
        signer = MLDSA65PrivateKey.generate()
        sealer = SessionSealer(bundle, "bench", signer, now)
        self.records = [
            sealer.seal(frames[start : start + BATCH_FRAMES]) for start in range(0, len(frames), BATCH_FRAMES)
        ]
        self.header, self._signer, self._private = sealer.header, signer, private

    def opener(self) -> SessionOpener:
        return SessionOpener(
            self.header,
            "bench",
            self._signer.public_key(),
            lambda _key_id, suite, wrapped: suite_of(suite).decapsulate(self._private, wrapped),
        )


def _floor(suite: AtRestSuite, frames: list[OpenedFrame], folder: Path) -> list[float]:
    """Seconds of each record by the bare primitives, into a fresh database."""
    sealing = AESGCM(os.urandom(32))
    plain = [frame.payload for frame in frames]
    sealed = [
        sealing.encrypt(start.to_bytes(12, "big"), b"".join(plain[start : start + BATCH_FRAMES]), b"")
        for start in range(0, len(plain), BATCH_FRAMES)
    ]
    path = folder / "floor.db"
    path.unlink(missing_ok=True)
    seal = _bare_seal(suite)

    def commit(database: sqlite3.Connection, start: int, record: bytes) -> float:
        began = time.perf_counter()
        sealing.decrypt(start.to_bytes(12, "big"), record, b"")
        rows = [
            (1 + index % DEVICES, 0, 1, index // DEVICES, 1, index, None, 1, suite.name, seal(plain[index]))
            for index in range(start, start + BATCH_FRAMES)
        ]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_ROW, rows)
        database.execute("COMMIT")
        return time.perf_counter() - began

    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(_TABLE)
        return [commit(database, number * BATCH_FRAMES, record) for number, record in enumerate(sealed)]


def _bare_seal(suite: AtRestSuite) -> Callable[[bytes], bytes]:
    cipher = suite.cipher(os.urandom(suite.key_bytes))
    identity = b"i" * 60 if suite.binds_associated_data else b""  # about what binds a row
    return lambda payload: cipher.seal(payload, identity)


def _ingest(suite: AtRestSuite, session: _IngestSession, keys: KeyFolder) -> list[float]:
    """Seconds of each record by the hospital's own code, into the emptied database of this process."""
    from pericard_server.fleet.losses import Losses
    from pericard_server.records.data_keys import DataKeys
    from pericard_server.records.models import DataKey, Reading
    from pericard_server.records.store import Records

    Reading.objects.all().delete()
    DataKey.objects.all().delete()
    records, opener = Records(DataKeys(keys), suite.name, Losses(keys)), session.opener()

    def commit(record: SealedRecord) -> float:
        began = time.perf_counter()
        stored = records.commit(opener.open(record).frames)
        if stored.new != BATCH_FRAMES:
            raise BenchFailed(f"the hospital stored {stored.new} of a record's {BATCH_FRAMES} frames")
        return time.perf_counter() - began

    return [commit(record) for record in session.records]


def _measure(records: int, runs: int) -> dict[str, Any]:
    """The row of each at-rest suite."""
    import django
    from django.core.management import call_command

    frames = opened_frames(records * BATCH_FRAMES)
    session = _IngestSession(frames)
    suites: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as name:
        folder = Path(name)
        keys = KeyFolder(folder / "keys", provider("cryptography"))
        keys.create()
        os.environ["DATABASE_URL"] = f"sqlite://{folder / 'records.db'}"
        os.environ["DJANGO_SETTINGS_MODULE"] = "pericard_server.settings"
        django.setup()
        call_command("migrate", verbosity=0)
        for suite in SUITES.values():
            sides = {
                "floor": partial(_floor, suite, frames, folder),
                "cost": partial(_ingest, suite, session, keys),
            }
            found = by_turns(f"ingest {suite.name}", runs, sides)
            floors, costs = ([sum(each) for each in found[side]] for side in ("floor", "cost"))
            p50, p99 = percentiles([seconds * 1e3 for each in found["cost"] for seconds in each])
            suites[suite.name] = {
                "frames_per_s": round(len(frames) / statistics.median(costs)),
                "floor_frames_per_s": round(len(frames) / statistics.median(floors)),
                "ratio": median_ratio(costs, floors),
                "p50_ms": p50,
                "p99_ms": p99,
            }
    return {"frames": len(frames), "suites": suites}


@benchmark("ingest", "cryptography", "protobuf", "Django")
def ingest(quick: bool) -> Measured:
    """Time frames on their way into the hospital's records, against the bare primitives in the same run."""
    records, runs = (12, 3) if quick else (60, 5)
    return Measured(runs, _measure(records, runs))
