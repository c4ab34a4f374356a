"""A device over BLE: the Nordic UART service, read as the byte stream that it is, reconnected when lost."""

import asyncio
import logging

from bleak import BleakClient
from bleak.backends.client import BaseBleakClient

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.port import Reader

# The device sends notifications of TX; the gateway's first write to RX tells it that somebody receives them.
RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
_READY = b"\0"
# BlueZ answers within about two seconds. Where bluetoothd hangs it never does, and bleak would wait for ever.
DISCONNECT_SECONDS = 5.0

_log = logging.getLogger("pericard.gateway")


class BlePort:
    """One device, by its address; a `Port`."""

    def __init__(
        self,
        address: str,
        room: asyncio.Event,
        counts: GatewayCounts,
        radio: type[BaseBleakClient] | None = None,
    ) -> None:
        """Connects to nothing yet; while `room` is not set, nothing is read.

        `radio` is bleak's backend; None takes this machine's own.
        """
        self._address, self._room, self._counts, self._radio = address, room, counts, radio
        self._client: BleakClient | None = None  # while the device may be written to
        self._latest: BleakClient | None = None
        self.trouble = "not connected yet"

    @property
    def name(self) -> str:
        """The device's address."""
        return self._address

    async def listening(self) -> None:
        """Returns at once: a node keeps its frames until we subscribe, also one that is out of range."""

    async def run(self, reader: Reader) -> None:
        """Reads until cancelled. A device out of range is a state, not an error."""
        backoff, task = Backoff(0.2, 5.0), asyncio.current_task()
        while True:
            try:
                await self._read(reader, backoff)
                why = "the connection has ended"
            except (Exception, asyncio.CancelledError) as error:
                # bleak passes on all that its backend raises: D-Bus ends, refuses or answers nonsense; a
                # request is cancelled because its connection ended. A fault with one device must not end the
                # others' reading.
                why = str(error) or type(error).__name__
            if task is not None and task.cancelling():
                # A backend may swallow the cancellation of this task, or raise an error instead of it.
                raise asyncio.CancelledError
            self._counts.port_errors += 1
            if self.trouble != why:
                _log.warning("device lost", extra=fields(port=self._address, why=why))
            self.trouble = why
            await asyncio.sleep(backoff.next())

    async def write(self, data: bytes) -> None:
        """Writes in parts, and waits for the response to each: none is lost while the device is connected.

        Raises:
            Exception: the connection is lost, or whatever else bleak's backend raises.
        """
        if self._client is None or (rx := self._client.services.get_characteristic(RX)) is None:
            raise ConnectionError("the device is not connected")
        # At most ATT_MTU - 3 bytes: BLE splits a longer write, and the node does not put its parts together.
        most = rx.max_write_without_response_size
        for at in range(0, len(data), most):
            await self._client.write_gatt_char(rx, data[at : at + most], response=True)

    def drain(self, reader: Reader) -> None:
        """Does nothing: a notification is taken when it comes, so none waits to be read."""

    async def _read(self, reader: Reader, backoff: Backoff) -> None:
        await self._room.wait()
        lost = asyncio.Event()
        client = BleakClient(self._address, disconnected_callback=lambda _: lost.set(), backend=self._radio)
        await client.connect()
        try:
            self._latest = client
            reader.connected()

            def take(_: object, data: bytearray) -> None:
                if client is not self._latest:
                    # An older connection, which did not end when it was told to, brings the same bytes again.
                    return
                reader.take(bytes(data))
                if not self._room.is_set():
                    # There is no room for more, and a connected node cannot be told to wait. Without a
                    # connection it keeps its frames itself.
                    lost.set()

            await client.start_notify(TX, take)
            await client.write_gatt_char(RX, _READY, response=True)
            self._client = client
            self.trouble = ""
            backoff.reset()
            _log.info("device connected", extra=fields(port=self._address))
            await lost.wait()
        finally:
            self._client = None
            async with asyncio.timeout(DISCONNECT_SECONDS):
                await client.disconnect()
