"""`pericard bench ingest`: what a frame costs the hospital, against the bare primitives, in one run.

The floor is AES-256-GCM open of each record, the at-rest suite's own seal of each payload under one ready
key, and one `executemany` and commit a record into an SQLite table with the columns and indexes of `Reading`.
The hospital's cost is all of `SessionOpener.open` and `Records.commit`: sessions, protobuf, data keys,
assignments, duplicates, Django. Both by the wall clock, on the same disk.
"""

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pericard_edge.machine import machine
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, SealedRecord
from pericard_protocol.uplink.providers import provider
from pericard_protocol.uplink.session import SessionOpener, SessionSealer
from pericard_protocol.uplink.suites import DEFAULT_SUITE, suite_of
from pericard_server.custody.folder import KeyFolder
from pericard_server.records.suites import SUITES, Suite

BATCH_FRAMES = 256
DEVICES = 32

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


def _frames(count: int) -> list[OpenedFrame]:
    payload = '{{"age": 70, "heart_rate_bpm": {}, "sensor_id": "ecg-{:08x}", "timestamp": {}}}'
    return [
        OpenedFrame(
            device=1 + index % DEVICES,
            boot=1,
            seq=index // DEVICES,
            received_at_us=1_700_000_000_000_000 + index,
            type=1,
            payload=payload.format(55.5 + index % 40, 1 + index % DEVICES, 1_700_000_000 + index).encode(),
        )
        for index in range(count)
    ]


class _Session:
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


def _floor(suite: Suite, frames: list[OpenedFrame], folder: Path) -> float:
    """Seconds of the bare primitives."""
    sealing = AESGCM(os.urandom(32))
    plain = [frame.payload for frame in frames]
    sealed = [
        sealing.encrypt(start.to_bytes(12, "big"), b"".join(plain[start : start + BATCH_FRAMES]), b"")
        for start in range(0, len(plain), BATCH_FRAMES)
    ]
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.executescript(_TABLE)
    seal = _bare_seal(suite)
    began = time.perf_counter()
    for number, record in enumerate(sealed):
        start = number * BATCH_FRAMES
        sealing.decrypt(start.to_bytes(12, "big"), record, b"")
        rows = [
            (1 + index % DEVICES, 0, 1, index // DEVICES, 1, index, None, 1, suite.name, seal(plain[index]))
            for index in range(start, start + BATCH_FRAMES)
        ]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_ROW, rows)
        database.execute("COMMIT")
    seconds = time.perf_counter() - began
    database.close()
    return seconds


def _bare_seal(suite: Suite) -> Callable[[bytes], bytes]:
    cipher = suite.cipher(os.urandom(suite.key_bytes))
    identity = b"i" * 60 if suite.binds_associated_data else b""  # about what binds a row
    return lambda payload: cipher.seal(payload, identity)


def _ingest(suite: Suite, session: _Session, keys: KeyFolder) -> tuple[float, list[float]]:
    """Seconds for all records, and milliseconds of each, into the emptied database of this process."""
    from pericard_server.fleet.losses import Losses
    from pericard_server.records.keyring import Keyring
    from pericard_server.records.models import DataKey, Reading
    from pericard_server.records.store import Records

    Reading.objects.all().delete()
    DataKey.objects.all().delete()
    records, opener = Records(Keyring(keys), suite.name, Losses(keys)), session.opener()

    def commit(record: SealedRecord) -> float:
        began = time.perf_counter()
        stored = records.commit(opener.open(record).frames)
        if stored.new != BATCH_FRAMES:
            raise AssertionError(f"{stored.new} new rows of {BATCH_FRAMES}")
        return (time.perf_counter() - began) * 1e3

    each = [commit(record) for record in session.records]
    return sum(each) / 1e3, each


def measure(records: int, runs: int) -> dict[str, object]:
    """All figures; medians over `runs`."""
    import django
    from django.core.management import call_command

    frames = _frames(records * BATCH_FRAMES)
    session = _Session(frames)
    suites: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        keys = KeyFolder(folder / "keys", provider("cryptography"))
        keys.create()
        os.environ["DATABASE_URL"] = f"sqlite://{folder / 'records.db'}"
        os.environ["DJANGO_SETTINGS_MODULE"] = "pericard_server.settings"
        django.setup()
        call_command("migrate", verbosity=0)
        with click.progressbar(length=len(SUITES) * runs, label="ingest", file=sys.stderr) as bar:
            for name, suite in SUITES.items():
                floors, times, each = [], [], []
                for _ in range(runs):
                    floors.append(_floor(suite, frames, folder))
                    (folder / "floor.db").unlink()
                    seconds, parts = _ingest(suite, session, keys)
                    times.append(seconds)
                    each += parts
                    bar.update(1)
                cuts = statistics.quantiles(each, n=100)
                ratios = [cost / floor for cost, floor in zip(times, floors, strict=True)]
                suites[name] = {
                    "frames_per_s": round(len(frames) / statistics.median(times)),
                    "floor_frames_per_s": round(len(frames) / statistics.median(floors)),
                    "ratio": round(statistics.median(ratios), 2),
                    "p50_ms": round(cuts[49], 1),
                    "p99_ms": round(cuts[98], 1),
                }
    return {
        "name": "ingest",
        "machine": machine("cryptography", "protobuf", "Django"),
        "runs": runs,
        "frames": len(frames),
        "suites": suites,
    }


@click.command("ingest")
@click.option("--quick", is_flag=True, help="Fewer records and runs: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(quick: bool, as_json: bool) -> None:
    """Frames a second into the hospital's records, against the bare primitives in the same run."""
    figures = measure(12, 3) if quick else measure(60, 5)
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:10} {value}")
