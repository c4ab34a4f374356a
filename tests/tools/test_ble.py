"""BLE end to end: the firmware's BLE code on the virtual board, Bumble's air, the gateway's bleak code."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bumble.link import LocalLink

from pericard_gateway.ble import BlePort
from pericard_gateway.counters import Counters
from pericard_protocol.frame import Frame, FrameError, open_frame
from pericard_protocol.stream import StreamDecoder
from pericard_tools.board import VirtualBoard
from pericard_tools.flash import firmware_files, flash
from pericard_tools.provision import RegistrySource, provision
from pericard_tools.recording import FLASH_PATH, recording_file

from .conftest import DEVICE, INTERVALS, Ward
from .radio import Peripheral, bleak_backend, device

BOARD, GATEWAY = "F0:F0:F0:F0:F0:F0", "F1:F1:F1:F1:F1:F1"


@pytest.fixture
def wireless(tmp_path: Path) -> Iterator[Ward]:
    """A board whose link is BLE."""
    (tmp_path / "board").mkdir()
    registry = tmp_path / "devices.json"
    with VirtualBoard(tmp_path / "board", radio=True) as board:
        files = {FLASH_PATH: recording_file(INTERVALS, speed=50), "/config.py": b'LINK = "ble"\n'}
        flash(board.port, firmware_files() | files)
        provision(board.port, DEVICE, "bed 4", 61, RegistrySource(registry))
        board.kill()
        assert board.off.wait(5)
        yield Ward(board, registry)


class Received:
    """What the gateway's port handed on: frames that open, in order, and every rejection."""

    def __init__(self, ward: Ward) -> None:
        self._cipher = ward.cipher()
        self.seqs: list[int] = []
        self.rejected: list[FrameError] = []
        self.sessions = 0
        self.more = asyncio.Event()

    def connected(self) -> Callable[[bytes], None]:
        decoder = StreamDecoder()
        self.sessions += 1

        def take(data: bytes) -> None:
            for found in decoder.feed(data):
                if isinstance(found, Frame):
                    assert "heart_rate_bpm" in json.loads(open_frame(self._cipher, found))
                    if not self.seqs or found.header.seq > self.seqs[-1]:  # as the gateway's window
                        self.seqs.append(found.header.seq)
                    self.more.set()
                else:
                    self.rejected.append(found)

        return take

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(20):
            while not self.seqs or self.seqs[-1] < seq:
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def in_the_air(ward: Ward, received: Received, mtu: int) -> AsyncIterator[tuple[Peripheral, BlePort]]:
    link = LocalLink()
    assert ward.board.radio is not None
    peripheral = Peripheral(link, BOARD, ward.board.radio)
    central = device(link, GATEWAY)
    await central.power_on()
    port = BlePort(BOARD, received.connected, Counters(), backend=bleak_backend(central, mtu))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peripheral.run())]
        ward.board.power_on()
        async with asyncio.timeout(10):
            await peripheral.advertising.wait()
        tasks.append(group.create_task(port.run()))
        yield peripheral, port
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize("mtu", [23, 24, 100, 185, 247])
def test_frames_are_split_and_joined_at_every_mtu(wireless: Ward, mtu: int) -> None:
    async def ward_round() -> None:
        received = Received(wireless)
        async with in_the_air(wireless, received, mtu):
            await received.until(20)
        assert received.seqs == list(range(len(received.seqs)))
        assert received.rejected == []

    asyncio.run(ward_round())


def test_a_device_that_returns_has_lost_nothing(wireless: Ward) -> None:
    async def ward_round() -> None:
        received = Received(wireless)
        async with in_the_air(wireless, received, 100) as (peripheral, _):
            for _ in range(3):
                last = received.seqs[-1] if received.seqs else 0
                await received.until(last + 10)
                await peripheral.out_of_range()
                await asyncio.sleep(0.5)
                await peripheral.back_in_range()
            await received.until(received.seqs[-1] + 30)
        assert received.sessions == 4
        assert received.seqs == list(range(len(received.seqs)))

    asyncio.run(ward_round())
