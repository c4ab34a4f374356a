"""What operators use: the doctor's findings, systemd's notices, the table."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from tests.parts.certificates import CertificateAuthority
from tests.parts.waiting import until
from tests.parts.ward import StandInHospital, Ward, pericard_gateway

from pericard_edge.config import load_settings
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.doctor import Finding, examine
from pericard_protocol.proto.uplink_pb2 import Ack

BLE = "C4:4F:33:00:00:01"
UNIT = Path(__file__).parents[2] / "gateway" / "pericard-gateway.service"


def _advised(ward: Ward) -> dict[str, Finding]:
    return {one.what: one for one in examine(load_settings(ward.configure(), GatewaySettings)) if one.advice}


@pytest.mark.slow
def test_a_gateway_in_good_health_needs_no_advice(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    done = subprocess.run(
        [*pericard_gateway("doctor"), "--json", "--config", str(ward.folder / "gateway.toml")],
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    whats = [one["what"].split()[0] for one in found]
    assert whats == ["files", "KEM", "gateway", "port", "certificate", "key", "hospital", "clock"]
    assert not any(one["advice"] for one in found)


@pytest.mark.parametrize(
    ("spoil", "what", "said"),
    [
        (lambda w, h: (w.folder / "registry.json").chmod(0o644), "files", "chmod 600"),
        (lambda w, h: None, "gateway", "start it"),
        (lambda w, h: setattr(w.lines[0], "path", "/dev/ttyNONE"), "port /dev/ttyNONE", "plug it in"),
        (lambda w, h: setattr(w.lines[0], "path", "/etc/hostname"), "port /etc/hostname", "correct"),
        (lambda w, h: setattr(h, "clock_skew", 90.0), "clock", "NTP"),
        (lambda w, h: h.publish(1_000_000_000), "hospital's key", "pinned key"),
        (lambda w, h: setattr(w, "server_port", 1), "hospital 127.0.0.1:1", "firewall"),
    ],
)
def test_each_mistake_is_found_with_what_to_do(
    ward: Ward, hospital: StandInHospital, spoil: Callable[[Ward, StandInHospital], Any], what: str, said: str
) -> None:
    ward.configure()
    path = ward.lines[0].path
    spoil(ward, hospital)
    config = ward.folder / "gateway.toml" if what == "files" else ward.configure()
    found = {one.what: one for one in examine(load_settings(config, GatewaySettings)) if one.advice}
    ward.lines[0].path = path
    assert said in found[what].advice + found[what].found
    assert set(found) <= {what, "gateway"}


@pytest.mark.parametrize(
    ("heard", "found", "advice"),
    [
        ([BLE], "is in range", ""),
        ([BLE.lower()], "is in range", ""),
        (["C4:4F:33:00:00:02"], "is not heard", "power"),
        (EOFError(), "cannot be used", "bluetoothd"),
        (BleakError("no adapter"), "no adapter", "rfkill"),
    ],
)
def test_a_ble_device_is_listened_for_where_no_gateway_runs(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, heard: list[str] | Exception, found: str, advice: str
) -> None:
    async def discover(_seconds: float) -> list[BLEDevice]:
        if isinstance(heard, Exception):
            raise heard
        return [BLEDevice(address, None, None) for address in heard]

    monkeypatch.setattr(BleakScanner, "discover", discover)
    ward.extra = f'[[ble]]\naddress = "{BLE}"\n'
    (told,) = [
        one for one in examine(load_settings(ward.configure(), GatewaySettings)) if one.what == f"port {BLE}"
    ]
    assert found in told.found
    assert advice in told.advice
    assert bool(told.advice) == bool(advice)


@pytest.mark.slow
def test_an_absent_ble_device_delays_neither_readiness_nor_the_other_ports(
    ward: Ward, hospital: StandInHospital
) -> None:
    """No device has this address, and perhaps there is no radio: a trouble that is shown."""
    nobody = "00:00:00:00:00:00"
    ward.extra = f'[[ble]]\naddress = "{nobody}"\n'
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    assert ward.status()["troubles"][f"port {nobody}"]
    assert ward.stop() == 0


def test_a_wrong_authority_is_told_from_a_dead_server(
    ward: Ward, other_authority: CertificateAuthority
) -> None:
    ward.tls = type(ward.tls)(
        ward.tls.certificate, ward.tls.private_key, other_authority.issue("x").authorities
    )
    assert "[tls] ca" in _advised(ward)[f"hospital 127.0.0.1:{ward.server_port}"].advice


@pytest.mark.slow
def test_systemd_hears_of_ready_alive_and_stopping(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ward.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        ward.start()
        heard: list[bytes] = []
        while (
            b"READY=1" not in heard or heard.count(b"WATCHDOG=1") < 2
        ):  # a slow start is alive before it is ready
            heard.append(manager.recv(100))
        assert set(heard) == {b"READY=1", b"WATCHDOG=1"}
        assert ward.stop() == 0
        until(lambda: manager.recv(100) == b"STOPPING=1")


def test_the_unit_runs_what_exists() -> None:
    unit = UNIT.read_text()
    assert "Type=notify" in unit
    assert "WatchdogSec=" in unit
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = command.split("-m pericard_gateway ")[1].split()
    done = subprocess.run([*pericard_gateway(words[0]), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert words[1] in done.stdout


@pytest.mark.slow
def test_the_table_names_devices_and_reasons(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    ward.lines[0].write(ward.devices[0].packet() * 2)
    hospital.wait_for(1)
    done = subprocess.run(
        [*pericard_gateway("status"), "--config", str(ward.folder / "gateway.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "gateway ward-1: uplink up" in done.stdout
    assert "replayed 1" in done.stdout


@pytest.mark.slow
def test_a_file_that_is_away_for_a_moment_ends_nothing(ward: Ward, hospital: StandInHospital) -> None:
    """An operator replaces the certificate while the hospital restarts: a state, not the gateway's end."""
    certificate = ward.folder / "tls.pem"
    hospital.answer = lambda: Ack.RETRY  # every stream ends, and every connection reads the files again
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    certificate.rename(ward.folder / "tls.away")
    until(lambda: "cannot be read" in ward.status()["uplink"])
    (ward.folder / "tls.away").rename(certificate)
    hospital.answer = lambda: Ack.COMMITTED
    hospital.wait_for(1)
