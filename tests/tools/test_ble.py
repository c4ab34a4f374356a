"""BLE end to end: the firmware's BLE code on the virtual board, Bumble's air, the gateway's bleak code."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from tests.parts.board import ReadyBoard, wireless_board
from tests.parts.radio import BOARD, Peripheral, in_the_air

from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.ble import BlePort
from pericard_protocol.device.frame import Frame, FrameError, open_frame
from pericard_protocol.device.stream import StreamDecoder

pytestmark = pytest.mark.slow  # boards start, and wait as boards do


@pytest.fixture
def wireless(tmp_path: Path) -> Iterator[ReadyBoard]:
    with wireless_board(tmp_path) as ready:
        yield ready


class Received:
    """What the gateway's port handed on: frames that open, in order, and every rejection."""

    def __init__(self, ready: ReadyBoard) -> None:
        self._cipher = ready.cipher()
        self.seqs: list[int] = []
        self.rejected: list[FrameError] = []
        self.sessions = 0
        self.more = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def connected(self) -> None:
        self._decoder = StreamDecoder()
        self.sessions += 1

    def take(self, data: bytes) -> None:
        for found in self._decoder.feed(data):
            if isinstance(found, Frame):
                assert "heart_rate_bpm" in json.loads(open_frame(self._cipher, found))
                if not self.seqs or found.header.seq > self.seqs[-1]:  # as the gateway's window
                    self.seqs.append(found.header.seq)
                self.more.set()
            else:
                self.rejected.append(found)

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(60):
            while not self.seqs or self.seqs[-1] < seq:
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def carried(ready: ReadyBoard, received: Received, mtu: int) -> AsyncIterator[Peripheral]:
    """A port that reads the board, until the end."""
    async with in_the_air(ready.board, mtu) as (peripheral, backend):
        port = BlePort(BOARD, received.room, GatewayCounts(), backend)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(port.run(received))
            yield peripheral
            running.cancel()


@pytest.mark.parametrize("mtu", [23, 24, 100, 185, 247])
def test_frames_are_split_and_joined_at_every_mtu(wireless: ReadyBoard, mtu: int) -> None:
    async def ward_round() -> None:
        received = Received(wireless)
        async with carried(wireless, received, mtu):
            await received.until(20)
        assert received.seqs == list(range(len(received.seqs)))
        assert received.rejected == []

    asyncio.run(ward_round())


def test_a_device_that_returns_has_lost_nothing(wireless: ReadyBoard) -> None:
    async def ward_round() -> None:
        received = Received(wireless)
        async with carried(wireless, received, 100) as peripheral:
            for _ in range(3):
                last = received.seqs[-1] if received.seqs else 0
                await received.until(last + 10)
                await peripheral.leave_range()
                await asyncio.sleep(0.5)
                await peripheral.enter_range()
            await received.until(received.seqs[-1] + 30)
        assert received.sessions == 4
        assert received.seqs == list(range(len(received.seqs)))

    asyncio.run(ward_round())


def test_a_node_whose_program_crashes_is_connected_again(wireless: ReadyBoard) -> None:
    """The radio keeps the connection through that, but would tell the new start nothing of it."""
    faulty = json.dumps({"speed": 50, "rr_ms": [1000] * 100 + ["two seconds from the start"]})
    (wireless.board.flash / "recording.json").write_text(faulty)

    async def ward_round() -> None:
        received = Received(wireless)
        async with carried(wireless, received, 100), asyncio.timeout(60):
            while received.sessions < 3:
                received.more.clear()
                await received.more.wait()

    asyncio.run(ward_round())
    assert "TypeError" in (wireless.board.flash / "crash.log").read_text()


def test_without_room_the_connection_is_given_up_until_there_is(wireless: ReadyBoard) -> None:
    """The spool is full: the node keeps its frames, and sends them when it is connected again."""

    async def ward_round() -> None:
        received = Received(wireless)
        async with carried(wireless, received, 100) as peripheral:
            await received.until(10)
            received.room.clear()
            async with asyncio.timeout(60):
                await peripheral.alone.wait()
            held = len(received.seqs)
            assert received.sessions == 1
            await asyncio.sleep(1)
            assert len(received.seqs) == held
            received.room.set()
            await received.until(received.seqs[-1] + 20)
        assert received.sessions == 2
        assert received.seqs == list(range(len(received.seqs)))

    asyncio.run(ward_round())


def test_whatever_the_radio_raises_the_port_tries_again(
    wireless: ReadyBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One device's trouble must not end the gateway: an end of D-Bus is an EOFError, not a BleakError."""
    connect = BleakClient.connect
    errors: list[Exception] = [EOFError(), BleakError("busy"), AssertionError()]

    async def troubled(client: BleakClient) -> None:
        if errors:
            raise errors.pop()
        await connect(client)

    async def ward_round() -> None:
        received = Received(wireless)
        monkeypatch.setattr(BleakClient, "connect", troubled)
        async with carried(wireless, received, 100):
            await received.until(5)
        assert errors == []

    asyncio.run(ward_round())


def test_a_disconnection_that_fails_does_not_keep_a_cancelled_port_running(
    wireless: ReadyBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's stop waits for its ports: what the radio says must not take the cancellation's place."""

    async def fail(_: object) -> None:
        raise BleakError("the adapter has gone")

    async def ward_round() -> None:
        received = Received(wireless)
        async with asyncio.timeout(60), carried(wireless, received, 100):
            await received.until(5)
            monkeypatch.setattr(BleakClient, "disconnect", fail)
        assert received.sessions == 1

    asyncio.run(ward_round())


def test_the_simulated_radio_ends_at_whichever_turn_of_the_loop_it_is_told() -> None:
    """It once did not where the board had just begun to advertise: every test on it could hang."""
    from bumble.link import LocalLink

    async def ended_at(turn: int) -> bool:
        ours, board = socket.socketpair()
        with ours, board:
            peripheral = Peripheral(LocalLink(), BOARD, ours)
            board.send(b'{"advertise": "020106"}\n')
            running = asyncio.create_task(peripheral.run())
            for _ in range(turn):
                await asyncio.sleep(0)
            advertises = peripheral.advertising.is_set()
            running.cancel()
            ended, _ = await asyncio.wait([running], timeout=60)
            assert ended, f"turn {turn}"
        return advertises

    async def every_turn() -> None:
        turn = 0
        while not await ended_at(turn):
            turn += 1
        assert turn > 10

    asyncio.run(every_turn())
