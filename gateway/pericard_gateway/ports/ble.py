"""A device over BLE: the Nordic UART service, read as the byte stream that it is, reconnected when lost."""

import asyncio
import logging

from bleak import BleakClient
from bleak.backends.client import BaseBleakClient

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.port import Reader

# The device writes to us by notifying TX; our first write to RX tells it that we have subscribed.
RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
_READY = b"\0"
# BlueZ answers within about two seconds, or bluetoothd hangs: bleak would wait for its answer for ever.
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
                # bleak lets through what its backend raises (D-Bus ends, refuses, answers nonsense; a request
                # is cancelled with its connection), and one device's radio must not end all reading.
                why = str(error) or type(error).__name__
            if task is not None and task.cancelling():
                # Also when the radio has answered our cancellation with an error, or with nothing.
                raise asyncio.CancelledError
            self._counts.port_errors += 1
            if self.trouble != why:
                _log.warning("device lost", extra=fields(port=self._address, why=why))
            self.trouble = why
            await asyncio.sleep(backoff.next())

    async def write(self, data: bytes) -> None:
        """Writes to the device, each part answered before the next: none is lost while the connection stands.

        Raises:
            Exception: the connection is lost, or whatever else bleak's backend raises.
        """
        if self._client is None or (rx := self._client.services.get_characteristic(RX)) is None:
            raise ConnectionError("the device is not connected")
        # ATT_MTU - 3: a longer write would be a queued one, which the node's buffer does not join.
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
                    return  # a connection that did not end when told to repeats what the new one brings
                reader.take(bytes(data))
                if not self._room.is_set():
                    # Notifications cannot be held back: without a connection the node keeps its own ring.
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
