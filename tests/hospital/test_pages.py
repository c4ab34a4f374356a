"""What monitoring sees of a hospital: counts and health, no patient, gateway or reading."""

import json
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital import make

from pericard_protocol.proto.uplink_pb2 import OpenedFrame


def _page(pages: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{pages}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _pages_of(folder: Path) -> str:
    lines = [json.loads(line) for line in (folder / "server.log").read_text().splitlines() if line[:1] == "{"]
    (address,) = (line["pages"] for line in lines if line["event"] == "serving")
    return str(address)


def test_counts_and_health(tmp_path: Path, authority: CertificateAuthority) -> None:
    hospital = make(tmp_path, authority, more="\n[metrics]\n")
    frame = OpenedFrame(device=7, type=1, received_at_us=1, payload=b"x")
    with hospital.running() as address:
        pages = _pages_of(tmp_path)
        assert _page(pages, "/healthz") == (200, '{"ok": true, "troubles": {}}')
        hospital.deliver(address, [frame, frame])
        status, shown = _page(pages, "/metrics")
        assert status == 200
        for name, value in (("records", 1), ("frames", 1), ("frames_duplicate", 1)):
            assert f"pericard_server_{name}_total {value}.0" in shown
        assert "ward-1" not in shown
        # Unwell from the moment on that its database is gone.
        (tmp_path / "records.db").unlink()
        (tmp_path / "records.db").mkdir()
        status, shown = _page(pages, "/healthz")
        assert (status, json.loads(shown)["troubles"]) == (503, {"database": "OperationalError"})


@pytest.mark.slow  # four commands, each a process
def test_a_hospital_that_cannot_store_or_reach_its_keys_is_unwell_until_it_can(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    hospital = make(tmp_path, authority, more="\n[metrics]\n")
    frame = OpenedFrame(device=7, type=1, received_at_us=1, payload=b"x")
    with hospital.running() as address:
        pages = _pages_of(tmp_path)

        def troubles() -> dict[str, str]:
            return dict(json.loads(_page(pages, "/healthz")[1])["troubles"])

        with closing(sqlite3.connect(tmp_path / "records.db")) as database:
            database.execute(
                "CREATE TRIGGER full BEFORE INSERT ON records_reading BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            with pytest.raises(AssertionError):  # told to send it again
                hospital.deliver(address, [frame])
            assert troubles() == {"storage": "IntegrityError: SQLITE_CONSTRAINT_TRIGGER"}
            assert _page(pages, "/healthz")[0] == 503
            database.execute("DROP TRIGGER full")
        hospital.deliver(address, [frame])
        assert troubles() == {}
        identity = tmp_path / "keys" / "identity.seed"
        identity.chmod(0o644)
        with pytest.raises(grpc.RpcError):
            hospital.deliver(address, [frame])
        assert "can be read by others" in troubles()["keys"]
        identity.chmod(0o600)
        hospital.deliver(address, [frame])
        assert troubles() == {}


@pytest.mark.slow
def test_without_the_table_there_are_no_pages(tmp_path: Path, authority: CertificateAuthority) -> None:
    with make(tmp_path, authority).running():
        assert _pages_of(tmp_path) == "None"
