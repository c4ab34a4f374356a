"""A device over BLE: the Nordic UART service, read as the byte stream that it is, reconnected when lost."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bleak import BleakClient
from bleak.exc import BleakError

from pericard_gateway.backoff import Backoff
from pericard_gateway.counters import Counters
from pericard_protocol.edge.jsonlog import fields

# The device writes to us by notifying TX; our first write to RX tells it that we have subscribed.
RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
_READY = b"\0"

_log = logging.getLogger("pericard.gateway")


class BlePort:
    """One device, by its address; the same shape as ports.SerialPort."""

    def __init__(
        self,
        address: str,
        connected: Callable[[], Callable[[bytes], None]],
        counters: Counters,
        **client: Any,
    ) -> None:
        """`connected` is called at every connection, for what takes the bytes.

        `client` goes to BleakClient as it is: a backend of another radio, an adapter.
        """
        self._address, self._connected, self._counters, self._client = address, connected, counters, client
        self.trouble = "not connected yet"
        self.tried = asyncio.Event()  # set after the first attempt to connect

    @property
    def path(self) -> str:
        """Where the device is."""
        return self._address

    async def run(self) -> None:
        """Reads until cancelled. A device out of range is a state, not an error."""
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                await self._read(backoff)
                why = "the connection has ended"
            except (BleakError, OSError, TimeoutError) as error:
                why = str(error) or type(error).__name__
            self._counters.port_errors += 1
            if self.trouble != why:
                _log.warning("device lost", extra=fields(port=self._address, why=why))
            self.trouble = why
            self.tried.set()
            await asyncio.sleep(backoff.next())

    async def _read(self, backoff: Backoff) -> None:
        lost = asyncio.Event()
        client = BleakClient(self._address, disconnected_callback=lambda _: lost.set(), **self._client)
        async with client:
            take = self._connected()
            await client.start_notify(TX, lambda _, data: take(bytes(data)))
            await client.write_gatt_char(RX, _READY, response=True)
            self.trouble = ""
            self.tried.set()
            backoff.reset()
            _log.info("device connected", extra=fields(port=self._address))
            await lost.wait()
