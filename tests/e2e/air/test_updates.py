"""The running gateway brings a real node (MicroPython) its update, by cable and over the air.

No frame is lost or doubled by it, and no nonce used twice: `Round.check` after every test.
"""

import asyncio
import contextlib
import hashlib
import json
import subprocess
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bleak.backends.client import BaseBleakClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.parts.board import DEVICE, ReadyBoard, quiet_board
from tests.parts.radio import BOARD, Peripheral, in_the_air
from tests.parts.waiting import until
from tests.parts.ward import Line, StandInHospital, Ward, pericard_gateway, telling

from pericard_edge.config import load_settings
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.doctor import examine
from pericard_gateway.ports import open_ports
from pericard_gateway.service import GatewayService
from pericard_gateway.updates import rollout, updater
from pericard_protocol.device.frame import FrameType
from pericard_protocol.device.update import UpdateError, build
from pericard_tools.board.flash import firmware_files
from pericard_tools.board.update import update_files

pytestmark = pytest.mark.slow  # boards start, and wait as boards do

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
APP = "/pericard_node/app.py"
OLD = b'"age": self._keystore.age,'
NEW = b'"age": self._keystore.age, "firmware": 7,'


def firmware() -> dict[str, bytes]:
    """The whole firmware, in which only what a vitals frame says has changed."""
    files = update_files()
    assert OLD in files[APP]
    return files | {APP: files[APP].replace(OLD, NEW)}


def small() -> dict[str, bytes]:
    return {APP: firmware()[APP]}


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "FIRST_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(updater, "STALL_SECONDS", 4.0)


class Round:
    """A bed, the gateway that reads it, and the hospital that gets its frames."""

    def __init__(
        self, bed: ReadyBoard, ward: Ward, hospital: StandInHospital, files: dict[str, bytes]
    ) -> None:
        self.bed, self.ward, self.hospital = bed, ward, hospital
        stream = build(files, 7, KEY).stream
        (ward.folder / "node.update").write_bytes(stream)
        (ward.folder / "update.pem").write_bytes(
            KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        self.updates = '[updates]\npath = "node.update"\nkey = "update.pem"\n'
        self.stop = asyncio.Event()
        self.radio: Peripheral | None = None

    def configure(self, port: str) -> None:
        self.ward.extra = self.updates + port
        self.ward.configure()
        known = self.ward.folder / "registry.json"
        devices = [
            one for path in (known, self.bed.registry) for one in json.loads(path.read_bytes())["devices"]
        ]
        known.write_text(json.dumps({"devices": devices}))

    @asynccontextmanager
    async def gateway(self, backend: type[BaseBleakClient] | None) -> AsyncIterator[None]:
        ready = asyncio.Event()
        service = GatewayService(
            load_settings(self.ward.folder / "gateway.toml", GatewaySettings),
            partial(open_ports, radio=backend),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run(self.stop, telling(ready)))
            await ready.wait()
            yield
            self.stop.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The board with power, and the gateway that reads it."""
        board = self.bed.board
        async with asyncio.timeout(240):
            if board.radio is None:
                self.configure(f'[[ports]]\npath = "{board.port}"\n')
                async with self.gateway(None):
                    board.power_on()
                    yield
            else:
                self.configure(f'[[ble]]\naddress = "{BOARD}"\n')
                async with in_the_air(board, 247) as (self.radio, backend), self.gateway(backend):
                    yield

    def told(self) -> dict[str, Any]:
        """What the gateway says of the device's update."""
        found: dict[str, Any] = self.ward.status()["updates"]["devices"].get(str(DEVICE), {})
        return found

    def metrics(self) -> bytes:
        address = (self.ward.folder / "state" / "address").read_text()
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            return bytes(answer.read())

    async def now(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.told)

    async def until(self, met: Callable[[], Any]) -> None:
        await asyncio.to_thread(until, met, lambda: (self.told(), self.statuses()[-3:]), 120)

    async def until_updated(self) -> None:
        """The gateway says so, and the new firmware's own frames do."""
        await self.until(lambda: self.told().get("state") == "up to date")
        await self.until(lambda: len([one for one in self.vitals() if "firmware" in one]) > 10)

    def payloads(self, kind: FrameType) -> list[dict[str, Any]]:
        frames = list(self.hospital.frames.values())
        return [json.loads(one.payload) for one in frames if one.device == DEVICE and one.type == kind]

    def vitals(self) -> list[dict[str, Any]]:
        return self.payloads(FrameType.VITALS)

    def statuses(self) -> list[dict[str, Any]]:
        return self.payloads(FrameType.STATUS)

    def boots(self) -> dict[int, list[int]]:
        """The sequence numbers of each start of the device."""
        found: dict[int, list[int]] = {}
        for device, boot, seq in sorted(self.hospital.frames):
            if device == DEVICE:
                found.setdefault(boot, []).append(seq)
        return found

    def has(self, files: dict[str, bytes]) -> bool:
        """Whether the board's flash holds these files."""
        flash = self.bed.board.flash
        return all((flash / path.lstrip("/")).read_bytes() == content for path, content in files.items())

    def check(self) -> None:
        """No (boot, seq), hence no nonce, came with two contents; and in no start a frame is missing."""
        assert self.hospital.duplicates == 0
        for boot, seqs in self.boots().items():
            assert seqs == list(range(len(seqs))), f"boot {boot}"


@contextlib.contextmanager
def round_of(
    tmp_path: Path, ward: Ward, hospital: StandInHospital, files: dict[str, bytes], **settings: object
) -> Iterator[Round]:
    (tmp_path / "bed").mkdir()
    with quiet_board(tmp_path / "bed", PUBLIC, **({"STATUS_SECONDS": 1} | settings)) as bed:
        one = Round(bed, ward, hospital, files)
        yield one
        one.check()


LINKS = pytest.mark.parametrize("link", ["usb", "ble"])


@LINKS
def test_a_node_gets_the_whole_firmware_while_other_ports_go_on(
    tmp_path: Path, ward: Ward, hospital: StandInHospital, link: str
) -> None:
    sent = 0

    def neighbour(line: Line, ended: threading.Event) -> None:
        nonlocal sent
        while not ended.wait(0.01):
            line.write(ward.devices[0].packet())
            sent += 1

    async def ward_round(one: Round) -> None:
        ended = threading.Event()
        async with one.running():
            beside = asyncio.create_task(asyncio.to_thread(neighbour, ward.lines[0], ended))
            try:
                await one.until_updated()
                told = await asyncio.to_thread(ward.status)
                metrics = await asyncio.to_thread(one.metrics)
                findings = await asyncio.to_thread(
                    list, examine(load_settings(ward.folder / "gateway.toml", GatewaySettings))
                )
            finally:
                ended.set()
                await beside
            await one.until(lambda: len([True for device, *_ in hospital.frames if device == 1]) == sent)
        assert told["updates"]["updated"] == 1
        assert told["updates"]["failures"] == {}
        assert told["updates"]["devices"][str(DEVICE)] == {
            "state": "up to date", "version": 7, "percent": 100, "attempts": 0, "why": "",
        }  # fmt: skip
        assert b'pericard_gateway_update_devices{state="up to date"} 1.0' in metrics
        assert b"pericard_gateway_updated_total 1.0" in metrics
        assert [one.found for one in findings if one.what == "update 7"] == [
            "1 of 1 devices heard so far have it"
        ]

    with round_of(tmp_path, ward, hospital, firmware(), LINK=link) as one:
        asyncio.run(ward_round(one))
        # It restarted by itself, once, and the new start is of the new firmware from its first frame on.
        old, new = sorted(one.boots())[-2:]
        assert all("firmware" not in json.loads(frame.payload) for frame in frames_of(one, old))
        assert all("firmware" in json.loads(frame.payload) for frame in frames_of(one, new))
        # Never more under way than the node has room for.
        room = {"usb": 256, "ble": 1024}[link]
        steps = [status["update"] for status in one.statuses() if status["update"]]
        assert steps == sorted(steps)
        assert max(after - before for before, after in zip([0, *steps], steps, strict=False)) <= room


def frames_of(one: Round, boot: int) -> list[Any]:
    return [
        frame
        for (device, number, _), frame in one.hospital.frames.items()
        if (device, number) == (DEVICE, boot) and frame.type == FrameType.VITALS
    ]


def test_out_of_range_in_the_middle_and_back(tmp_path: Path, ward: Ward, hospital: StandInHospital) -> None:
    async def ward_round(one: Round) -> None:
        async with one.running():
            assert one.radio is not None
            await one.until(lambda: one.told().get("percent", 0) > 20)
            await one.radio.leave_range()
            await one.until(lambda: one.told()["state"] == "waiting")
            # Whether a write was under way when the connection ended.
            assert (await one.now())["why"] in (
                "the link does not take it",
                "the node does not go on",
            )
            assert not one.has(firmware())
            await one.radio.enter_range()
            await one.until_updated()
            assert (await one.now())["version"] == 7
        assert one.has(firmware())

    # The ring holds what 30 readings a second are in the time that a loaded machine takes for this.
    with round_of(tmp_path, ward, hospital, firmware(), LINK="ble", RING_BYTES=1 << 17) as one:
        asyncio.run(ward_round(one))
        # The sensor went on, and what it gave meanwhile waited in the node's ring.
        assert any(status["room"] == 0 for status in one.statuses())


def test_the_power_fails_in_the_middle(tmp_path: Path, ward: Ward, hospital: StandInHospital) -> None:
    async def ward_round(one: Round) -> None:
        board = one.bed.board
        async with one.running():
            await one.until(lambda: one.told().get("percent", 0) > 20)
            board.kill()
            await asyncio.to_thread(board.off.wait, 5)
            assert not one.has(firmware())
            assert list(board.flash.rglob("*.update"))
            board.power_on()
            await one.until_updated()
            told = (await asyncio.to_thread(ward.status))["updates"]
            assert told["failures"] == {"the node has started again": 1}
        assert one.has(firmware())

    with round_of(tmp_path, ward, hospital, firmware()) as one:
        asyncio.run(ward_round(one))


@LINKS
def test_a_node_that_sleeps_is_updated_when_it_wakes(
    tmp_path: Path, ward: Ward, hospital: StandInHospital, link: str
) -> None:
    async def ward_round(one: Round) -> None:
        async with one.running():
            await one.until_updated()
            await one.until(lambda: one.statuses()[-1].get("reset_cause") == 4)  # it slept

    sleepy = {"SLEEP_SECONDS": 1, "READINGS_A_WAKE": 5, "STATUS_SECONDS": 3600}
    with round_of(tmp_path, ward, hospital, small(), LINK=link, **sleepy) as one:
        asyncio.run(ward_round(one))


def test_an_update_that_a_node_does_not_believe_changes_nothing(
    tmp_path: Path, ward: Ward, hospital: StandInHospital
) -> None:
    async def ward_round(one: Round) -> None:
        async with one.running():
            await one.until(lambda: one.told().get("why"))
            assert (await one.now()) | {"attempts": 1} == {
                "state": "waiting", "version": 0, "percent": 0, "attempts": 1, "why": "the node has given up",
            }  # fmt: skip
            heard = len(one.vitals())
            await one.until(lambda: len(one.vitals()) > heard + 20)
        assert one.statuses()[-1]["version"] == 0
        assert one.has(firmware_files())
        assert not list(one.bed.board.flash.rglob("*.update"))

    with round_of(tmp_path, ward, hospital, small()) as one:
        (ward.folder / "node.update").write_bytes(build(small(), 7, Ed25519PrivateKey.generate()).stream)
        one.configure("")
        settings = load_settings(ward.folder / "gateway.toml", GatewaySettings)
        with pytest.raises(UpdateError, match=r"node\.update: the update is not signed by this key"):
            GatewayService(settings)
        one.updates = one.updates.replace('key = "update.pem"\n', "")
        asyncio.run(ward_round(one))


def test_a_node_of_a_later_version_is_left_alone(
    tmp_path: Path, ward: Ward, hospital: StandInHospital
) -> None:
    async def ward_round(one: Round) -> None:
        async with one.running():
            await one.until(lambda: one.told() and len(one.statuses()) > 2)
            told = await one.now()
            assert (told["state"], told["version"]) == ("up to date", 9)
        assert not any(status["update"] for status in one.statuses())
        assert one.has(firmware_files())

    with round_of(tmp_path, ward, hospital, small()) as one:
        version = b'{"version": 9}'
        (one.bed.board.flash / "version.bin").write_bytes(hashlib.sha256(version).digest() + version)
        asyncio.run(ward_round(one))


def test_a_node_without_an_update_key_is_shown_with_what_to_do(
    tmp_path: Path, ward: Ward, hospital: StandInHospital
) -> None:
    async def ward_round(one: Round) -> None:
        async with one.running():
            await one.until(lambda: one.told().get("state") == "failed")
            findings = await asyncio.to_thread(
                list, examine(load_settings(ward.folder / "gateway.toml", GatewaySettings))
            )
            asking = [*pericard_gateway("status"), "--config", str(ward.folder / "gateway.toml")]
            table = await asyncio.to_thread(subprocess.check_output, asking, text=True)
        (advised,) = [one for one in findings if one.what == f"update 7, device {DEVICE}"]
        assert "provision it with --update-key" in advised.found
        assert advised.advice
        assert "failed (it has no update key" in " ".join(table.split())

    with round_of(tmp_path, ward, hospital, small()) as one:
        (one.bed.board.flash / "update.pub").unlink()
        asyncio.run(ward_round(one))
