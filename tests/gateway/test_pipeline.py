"""A gateway process between a pseudo-terminal and a hospital behind mutual TLS: what comes in, arrives."""

import json
import subprocess
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from tests.parts.certificates import CertificateAuthority
from tests.parts.ports import lasting_port
from tests.parts.waiting import until
from tests.parts.ward import Device, StandInHospital, Ward, new_line, pericard_gateway, serving, vitals

from pericard_protocol.device.stream import encode_packet
from pericard_protocol.proto.uplink_pb2 import Ack

MARKER = "PLANTED-MARKER-4711"


def test_frames_arrive_and_junk_is_counted(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    (line,) = ward.lines
    one, two = ward.devices
    replay = one.packet()
    forged = bytearray(one.frame())
    forged[-1] ^= 1
    line.write(b"\0garbage \x80\0" + replay + two.packet() + encode_packet(bytes(forged)) + replay)
    line.write(Device(99).packet() + b"y" * 2000 + b"\0" + encode_packet(b"short") + one.packet())
    hospital.wait_for(3)
    assert sorted(hospital.frames) == [(1, 1, 0), (1, 1, 2), (2, 1, 0)]
    assert hospital.frames[1, 1, 0].payload == vitals()
    until(lambda: ward.status()["acked_frames"] == 3)
    printed = subprocess.run(
        [*pericard_gateway("status"), "--json", "--config", str(ward.folder / "gateway.toml")],
        check=True,
        capture_output=True,
    )
    status = json.loads(printed.stdout)
    assert status["rejected"] == {
        "garbage": 1,
        "not authentic": 1,
        "replayed": 1,
        "unknown device": 1,
        "overlong": 1,
        "length": 1,
    }
    assert status["devices"]["1"] == {
        "received": 4,
        "accepted": 2,
        "rejected": {"not authentic": 1, "replayed": 1},
    }
    assert status["spool"] == {"records": 0, "frames": 0, "bytes": 0, "refused_records": 0}
    assert status["uplink"] == "up"
    assert status["bytes_in"] > 2000
    assert set(status["stage_ms"]) == {"open", "seal", "spool", "uplink"}
    assert all(value > 0 for value in status["stage_ms"].values())
    assert ward.stop() == 0


def test_a_stop_delivers_what_was_read(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    until(lambda: ward.status()["uplink"] == "up")
    ward.lines[0].write(b"".join(ward.devices[0].packet() for _ in range(50)))
    assert ward.stop() == 0
    assert len(hospital.frames) == 50
    assert not (ward.folder / "state" / "address").exists()


@pytest.mark.slow
def test_nothing_readable_is_left_behind(ward: Ward, hospital: StandInHospital) -> None:
    """The marker stands in every payload, and in none of spool, logs and what the hospital was sent."""
    silent = [True]
    hospital.answer = lambda: None if silent[0] else Ack.COMMITTED
    ward.start()
    payload = vitals(note=MARKER)
    ward.lines[0].write(b"".join(ward.devices[0].packet(payload) for _ in range(20)))
    ward.lines[0].write(ward.devices[1].packet(b'{"age": "' + MARKER.encode() + b'"}'))
    until(lambda: ward.status()["spool"]["frames"] == 20 and hospital.wire)
    seen = b"".join(hospital.wire) + ward.log.encode()
    files = [path for path in ward.folder.rglob("*") if path.is_file()]
    assert any(path.name == "spool.db-wal" and path.stat().st_size for path in files)
    seen += b"".join(path.read_bytes() for path in files)
    assert MARKER.encode() not in seen
    assert b"heart_rate" not in seen
    for device in ward.devices:
        keys = [
            p.name
            for p in files
            if device.key.hex().encode() in p.read_bytes() or device.key in p.read_bytes()
        ]
        assert keys == ["registry.json"]
    for path in (ward.folder / "state").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert hospital.frames == {}


@pytest.mark.slow
def test_a_hospital_that_was_away_catches_up(
    ward: Ward, hospital: StandInHospital, authority: CertificateAuthority
) -> None:
    """The first start knows no hospital; the second has its key bundle and seals without it."""
    identity = authority.issue("server.test")
    port = lasting_port()
    with serving(hospital, identity, f"127.0.0.1:{port}"):
        ward.server_port = port
        ward.start()
        ward.lines[0].write(ward.devices[0].packet())
        hospital.wait_for(1)
        until(lambda: ward.status()["acked_frames"] == 1)
    ward.stop()
    ward.start()
    for _ in range(3):
        ward.lines[0].write(b"".join(ward.devices[0].packet() for _ in range(30)))
        until(lambda: ward.status()["spool"]["frames"] % 30 == 0 and ward.status()["spool"]["frames"] > 0)
    until(lambda: ward.status()["spool"]["frames"] == 90)
    ward.kill()
    ward.start()
    ward.lines[0].write(b"".join(ward.devices[0].packet() for _ in range(9)))
    with serving(hospital, identity, f"127.0.0.1:{port}"):
        hospital.wait_for(100)
    assert hospital.duplicates == 0
    assert ward.stop() == 0


@pytest.mark.parametrize("answer", [Ack.RETRY, 77])
@pytest.mark.slow
def test_what_is_not_committed_is_sent_again(ward: Ward, hospital: StandInHospital, answer: Any) -> None:
    """RETRY and an unknown status: the record comes again until it is committed."""
    answers = [answer] * 2
    hospital.answer = lambda: answers.pop() if answers else Ack.COMMITTED
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    until(lambda: ward.status()["acked_frames"] == 1)
    until(lambda: ward.status()["spool"]["records"] == 0)


@pytest.mark.slow
def test_a_refused_record_is_kept_aside(ward: Ward, hospital: StandInHospital) -> None:
    answers = [Ack.COMMITTED, Ack.REFUSED]
    hospital.answer = lambda: answers.pop() if answers else Ack.COMMITTED
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: ward.status()["spool"]["refused_records"] == 1)
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    until(lambda: ward.status()["spool"]["records"] == 0)
    status = ward.status()
    assert status["refused"] == {"as the test wants": 1}
    assert status["spool"]["bytes"] > 0
    assert "kept aside" in ward.log


@pytest.mark.slow
def test_a_bundle_of_somebody_else_seals_nothing(ward: Ward, hospital: StandInHospital) -> None:
    hospital.publish(int(time.time()) - 10, signer=MLDSA65PrivateKey.generate())
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: "not signed by the pinned identity key" in ward.log)
    until(lambda: "store" in ward.status()["troubles"])
    assert not hospital.frames
    assert ward.status()["refused"]["bundle signature"] >= 1
    hospital.publish(int(time.time()) - 5)
    ward.stop()


@pytest.mark.slow
def test_an_older_bundle_is_refused(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    ward.stop()
    hospital.publish(int(time.time()) - 7200)
    ward.start()
    until(lambda: "is older than" in ward.log)
    assert ward.status()["refused"] == {"bundle rollback": 1}


@pytest.mark.slow
def test_a_server_of_another_authority_gets_nothing(
    ward: Ward, hospital: StandInHospital, other_authority: CertificateAuthority
) -> None:
    with serving(hospital, other_authority.issue("server.test")) as port:
        ward.server_port = port
        ward.start()
        ward.lines[0].write(ward.devices[0].packet())
        until(lambda: "UNAVAILABLE" in ward.status()["uplink"])
        assert hospital.wire == []


@pytest.mark.slow
def test_a_gateway_of_another_authority_is_not_heard(
    ward: Ward,
    hospital: StandInHospital,
    authority: CertificateAuthority,
    other_authority: CertificateAuthority,
) -> None:
    """It proves nothing to the server, so its channel never stands."""
    stranger = other_authority.issue("ward-1")
    ward.tls = type(stranger)(stranger.certificate, stranger.private_key, authority.issue("x").authorities)
    ward.start()
    until(lambda: "UNAVAILABLE" in ward.status()["uplink"])
    assert hospital.wire == []


@pytest.mark.slow
def test_a_port_that_vanishes_and_returns_is_opened_again(ward: Ward, hospital: StandInHospital) -> None:
    """The port is a link, as udev makes one: first to a line that breaks, then to a new one."""
    link = ward.folder / "ttyUSB0"
    first = ward.lines[0]
    link.symlink_to(first.path)
    path, first.path = first.path, str(link)
    ward.start()
    first.path = path
    first.write(ward.devices[0].packet())
    hospital.wait_for(1)
    first.close()
    until(lambda: "port lost" in ward.log)
    second = new_line()
    link.unlink()
    link.symlink_to(second.path)
    ward.lines[:] = [second]
    until(lambda: ward.log.count("port opened") == 2)
    second.write(ward.devices[0].packet())
    hospital.wait_for(2)


@pytest.mark.slow
def test_two_gateways_do_not_share_a_state_folder(ward: Ward) -> None:
    ward.start()
    again = subprocess.run(
        [*pericard_gateway("run"), "--config", str(ward.folder / "gateway.toml")],
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1
    assert "another gateway runs with this state folder" in again.stderr


def test_without_a_gateway_status_says_so(ward: Ward) -> None:
    config = ward.configure()
    found = subprocess.run(
        [*pericard_gateway("status"), "--config", str(config)], capture_output=True, text=True
    )
    assert found.returncode == 1
    assert "no gateway runs" in found.stderr
