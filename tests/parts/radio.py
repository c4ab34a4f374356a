"""The air between a virtual board and the gateway: Bumble's controllers on one local link, no radio.

`Peripheral` is the board's side: it does what vm/bluetooth.py asks for. `bleak_backend` makes the
backend that lets the gateway's own bleak client reach it. Bumble is imported once a test needs it: that takes
half a second, which every process of a test run would pay.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from pericard_tools.board.virtual import VirtualBoard

if TYPE_CHECKING:
    from bumble.device import Connection, Device
    from bumble.gatt import Characteristic
    from bumble.link import LocalLink

BOARD, GATEWAY = "F0:F0:F0:F0:F0:F0", "F1:F1:F1:F1:F1:F1"


def device(link: LocalLink, address: str) -> Device:
    from bumble.controller import Controller
    from bumble.device import Device
    from bumble.hci import Address
    from bumble.host import Host
    from bumble.transport.common import AsyncPipeSink

    controller = Controller(address, link=link, public_address=address)
    return Device(address=Address(address), host=Host(controller, AsyncPipeSink(controller)))


class Peripheral:
    """The radio of one virtual board. `leave_range` cuts the connection and hides the board."""

    def __init__(self, link: LocalLink, address: str, board: socket.socket) -> None:
        self.device = device(link, address)
        self._board = board
        self._handles: dict[int, Characteristic[bytes]] = {}
        self._connection: Connection | None = None
        self._hidden = False
        self._advertisement: bytes | None = None
        self.advertising = asyncio.Event()
        self.alone = asyncio.Event()  # set when a gateway's connection has ended
        self._buffer = b""
        self.device.on("connection", self._connected)

    async def run(self) -> None:
        """Does what the board asks for, in order, until cancelled."""
        await self.device.power_on()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._board.setblocking(False)
        # Bumble waits for its controller by asyncio.wait_for, which until Python 3.12 swallows a cancellation
        # that meets the answer: without a look at `cancelling`, an end while the board advertises never came.
        while not task.cancelling() and (data := await loop.sock_recv(self._board, 65536)):
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                for what, given in json.loads(line).items():
                    await self._do(what, given)

    async def leave_range(self) -> None:
        self._hidden = True
        self.advertising.clear()
        await self.device.stop_advertising()
        if self._connection is not None:
            await self._connection.disconnect()

    async def enter_range(self) -> None:
        self._hidden = False
        await self._advertise()

    async def _do(self, what: str, given: Any) -> None:
        from bumble.core import UUID
        from bumble.gatt import Service

        if what == "register" and not self._handles:
            for uuid, characteristics in given:
                made = [self._characteristic(one, flags) for one, flags in characteristics]
                self.device.add_service(Service(UUID(uuid), made))
        elif what == "advertise":
            self._advertisement = bytes.fromhex(given)
            await self._advertise()
        elif what == "notify":
            _, handle, data = given
            if self._connection is not None:
                await self.device.gatt_server.notify_subscriber(
                    self._connection, self._handles[handle], bytes.fromhex(data)
                )
            self._tell(across=1)  # or lost with its connection
        elif what == "active" and not given:
            self._advertisement = None
            if self._connection is not None:
                await self._connection.disconnect()

    async def _advertise(self) -> None:
        if self._advertisement is not None and not self._hidden and not self.device.is_advertising:
            await self.device.start_advertising(advertising_data=self._advertisement)
            self.advertising.set()

    def _characteristic(self, uuid: str, flags: int) -> Characteristic[bytes]:
        from bumble.core import UUID
        from bumble.gatt import Characteristic, CharacteristicValue

        handle = len(self._handles) + 1

        def written(connection: Connection, value: bytes) -> None:
            self._tell(written=[connection.handle, handle, value.hex()])

        self._handles[handle] = Characteristic(
            UUID(uuid),
            Characteristic.Properties(flags),
            Characteristic.READABLE | Characteristic.WRITEABLE,
            CharacteristicValue(write=written),
        )
        return self._handles[handle]

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        self.alone.clear()
        handle = connection.handle
        self._tell(connected=handle)
        connection.on("connection_att_mtu_update", lambda: self._tell(mtu=[handle, connection.att_mtu]))
        connection.on("disconnection", lambda _: self._disconnected(handle))

    def _disconnected(self, handle: int) -> None:
        self._connection = None
        self.alone.set()
        self._tell(disconnected=handle)

    def _tell(self, **what: object) -> None:
        self._board.send(json.dumps(what).encode() + b"\n")


@asynccontextmanager
async def in_the_air(
    board: VirtualBoard, mtu: int
) -> AsyncIterator[tuple[Peripheral, type[BaseBleakClient]]]:
    """Gives the board power; yields its radio, once it advertises, and the bleak backend that reaches it."""
    from bumble.link import LocalLink

    assert board.radio is not None
    link = LocalLink()
    peripheral = Peripheral(link, BOARD, board.radio)
    central = device(link, GATEWAY)
    await central.power_on()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(peripheral.run())
        board.power_on()
        async with asyncio.timeout(60):
            await peripheral.advertising.wait()
        yield peripheral, bleak_backend(central, mtu)
        running.cancel()


def bleak_backend(central: Device, mtu: int) -> type[BaseBleakClient]:
    """A bleak backend whose radio is `central`, which asks for an MTU of `mtu`."""
    from bumble.device import Peer
    from bumble.gatt import Characteristic
    from bumble.hci import Address

    class BumbleClient(BaseBleakClient):
        _connection: Connection | None = None

        @property
        def name(self) -> str:
            return self.address

        @property
        def mtu_size(self) -> int:
            return self._connection.att_mtu if self._connection else 23

        @property
        def is_connected(self) -> bool:
            return self._connection is not None

        async def connect(self, pair: bool, **_: Any) -> None:
            try:
                self._connection = await central.connect(Address(self.address), timeout=2)
            except Exception as error:
                raise BleakError(f"{self.address} does not answer") from error
            self._connection.on("disconnection", self._lost)
            peer = Peer(self._connection)
            if mtu > 23:
                await peer.request_mtu(mtu)
            await peer.discover_services()
            self.services = BleakGATTServiceCollection()
            for service in peer.services:
                await service.discover_characteristics()
                known = BleakGATTService(service, service.handle, service.uuid.to_hex_str("-").lower())
                self.services.add_service(known)
                for one in service.characteristics:
                    uuid = one.uuid.to_hex_str("-").lower()
                    names = [
                        name.lower().replace("_", "-")
                        for name, p in Characteristic.Properties.__members__.items()
                        if p in one.properties
                    ]
                    self.services.add_characteristic(
                        BleakGATTCharacteristic(one, one.handle, uuid, names, self._room, known)  # type: ignore[arg-type]
                    )

        def _room(self) -> int:
            return self.mtu_size - 3

        def _lost(self, _: object) -> None:
            self._connection = None
            if self._disconnected_callback is not None:
                self._disconnected_callback()

        async def disconnect(self) -> None:
            if self._connection is not None:
                await self._connection.disconnect()

        async def start_notify(self, characteristic: Any, callback: Any, **_: Any) -> None:
            await characteristic.obj.subscribe(lambda value: callback(bytearray(value)))

        async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
            await characteristic.obj.write_value(bytes(data), with_response=response)

        async def pair(self, *_: Any) -> None: ...
        async def unpair(self) -> None: ...
        async def read_gatt_char(self, *_: Any, **__: Any) -> bytearray:
            raise NotImplementedError

        async def read_gatt_descriptor(self, *_: Any, **__: Any) -> bytearray:
            raise NotImplementedError

        async def write_gatt_descriptor(self, *_: Any) -> None:
            raise NotImplementedError

        async def stop_notify(self, *_: Any) -> None: ...

    return BumbleClient
