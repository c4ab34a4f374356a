"""The stop is bounded: whatever the radio does, what was read is delivered, within what systemd allows."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from tests.parts.ward import StandInHospital, Ward, telling

from pericard_edge.config import load_settings
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.ble import BlePort
from pericard_gateway.service import GatewayService

BLE = "C4:4F:33:00:00:01"
Call = Callable[..., Awaitable[None]]


async def answer(*_: object, **__: object) -> None:
    """As a radio in good order."""


async def never(*_: object, **__: object) -> None:
    """As bluetoothd when it hangs: D-Bus calls have no time limit."""
    await asyncio.Event().wait()


async def swallow(*_: object, **__: object) -> None:
    """As asyncio.wait_for before Python 3.12, when a cancellation meets the answer."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def clean_up_for_ever(*_: object, **__: object) -> None:
    """As bleak on BlueZ: a cancelled connection waits for the device's disconnection."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.Event().wait()


async def cancel(*_: object, **__: object) -> None:
    """As Bumble, when a request's connection goes: a cancellation that nobody asked for."""
    raise asyncio.CancelledError


async def refuse(*_: object, **__: object) -> None:
    """As a device that is not ours."""
    raise BleakError("no such characteristic")


def radio(monkeypatch: pytest.MonkeyPatch, connect: Call = answer, disconnect: Call = answer) -> None:
    for name, call in {
        "connect": connect,
        "start_notify": answer,
        "write_gatt_char": answer,
        "disconnect": disconnect,
    }.items():
        monkeypatch.setattr(BleakClient, name, call)


# Two seconds of patience for each call that does not end, five for a busy machine; systemd allows fifteen.
@pytest.mark.parametrize(
    ("connect", "disconnect", "seconds"),
    [
        (answer, answer, 5.0),
        (answer, never, 7.0),
        (clean_up_for_ever, answer, 7.0),
        (swallow, answer, 7.0),
        (swallow, never, 9.0),
    ],
)
def test_no_radio_holds_up_the_stop(
    ward: Ward,
    hospital: StandInHospital,
    monkeypatch: pytest.MonkeyPatch,
    connect: Call,
    disconnect: Call,
    seconds: float,
) -> None:
    radio(monkeypatch, connect, disconnect)
    ward.extra = f'[[ble]]\naddress = "{BLE}"\n'

    async def stopped() -> bool:
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            GatewayService(load_settings(ward.configure(), GatewaySettings)).run(stop, telling(ready))
        )
        await ready.wait()
        ward.lines[0].write(ward.devices[0].packet())
        await asyncio.to_thread(hospital.wait_for, 1)
        ward.lines[0].write(ward.devices[0].packet())
        stop.set()
        ended, _ = await asyncio.wait([running], timeout=seconds)
        return [one.exception() for one in ended] == [None]

    assert asyncio.run(stopped())
    assert len(hospital.frames) == 2


class Connections:
    """A reader that waits for the second connection."""

    def __init__(self) -> None:
        self.count, self.second = 0, asyncio.Event()

    def connected(self) -> None:
        self.count += 1
        if self.count == 2:
            self.second.set()

    def take(self, data: bytes) -> None:
        raise AssertionError("no device sends here")


@pytest.mark.parametrize(("notify", "disconnect"), [(cancel, answer), (refuse, never), (refuse, cancel)])
def test_no_radio_ends_a_port_or_holds_it(
    monkeypatch: pytest.MonkeyPatch, notify: Call, disconnect: Call
) -> None:
    """After a connection that could not be used, and an end that was no better, it connects again."""
    monkeypatch.setattr("pericard_gateway.ports.ble.DISCONNECT_SECONDS", 0.1)
    radio(monkeypatch, disconnect=disconnect)
    monkeypatch.setattr(BleakClient, "start_notify", notify)

    async def connected_twice() -> None:
        room, connections = asyncio.Event(), Connections()
        room.set()
        running = asyncio.create_task(BlePort(BLE, room, GatewayCounts()).run(connections))
        async with asyncio.timeout(60):
            await connections.second.wait()
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(connected_twice())
