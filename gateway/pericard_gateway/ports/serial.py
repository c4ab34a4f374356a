"""Serial ports on the event loop: opened, read when they have something, reopened when they vanish."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable

import serial

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.operations.counters import Counters
from pericard_gateway.settings import Port

READ_BYTES = 16384  # about a millisecond of opening: the most that one port keeps the loop from the others
_DRAIN_READS = 64

_log = logging.getLogger("pericard.gateway")


class SerialPort:
    """One configured port."""

    def __init__(
        self,
        port: Port,
        connected: Callable[[], Callable[[bytes], None]],
        room: asyncio.Event,
        counters: Counters,
    ) -> None:
        """`connected` is called at every opening, for what takes the bytes; `room` holds reading back."""
        self._port, self._connected, self._room, self._counters = port, connected, room, counters
        self._serial: serial.Serial | None = None
        self._take: Callable[[bytes], None] | None = None
        self.trouble = "not opened yet"
        self.tried = asyncio.Event()  # set after the first attempt to open it

    @property
    def path(self) -> str:
        """Where the port is."""
        return str(self._port.path)

    async def run(self) -> None:
        """Reads until cancelled. A port that is absent or breaks is a state, not an error."""
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                self._open()
                backoff.reset()
                self.tried.set()
                await self._read()
            except (OSError, serial.SerialException) as error:
                self._close()
                self._counters.port_errors += 1
                if self.trouble != str(error):
                    _log.warning("port lost", extra=fields(port=self.path, why=str(error)))
                self.trouble = str(error)
                self.tried.set()
            await asyncio.sleep(backoff.next())

    async def write(self, data: bytes) -> None:
        """Writes to the device. What the line does not take at once is lost: nobody reads it.

        Raises:
            OSError, serial.SerialException: the port is not open, or breaks.
        """
        if self._serial is None:
            raise serial.SerialException("the port is not open")
        with contextlib.suppress(BlockingIOError):
            os.write(self._serial.fileno(), data)

    def drain(self) -> None:
        """Takes what has arrived and not been read yet, a bounded amount, and closes the port."""
        if self._serial is not None and self._take is not None:
            try:
                for _ in range(_DRAIN_READS):
                    if not (data := self._serial.read(READ_BYTES)):
                        break
                    self._take(data)
            except (OSError, serial.SerialException) as error:
                _log.warning("port lost", extra=fields(port=self.path, why=str(error)))
        self._close()

    def _open(self) -> None:
        # exclusive: a second reader of the same port would steal bytes from the middle of frames.
        self._serial = serial.Serial(self.path, self._port.baud, timeout=0, exclusive=True)
        self._take = self._connected()
        self.trouble = ""
        _log.info("port opened", extra=fields(port=self.path))

    def _close(self) -> None:
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    async def _read(self) -> None:
        if self._serial is None or self._take is None:
            return
        while True:
            await self._room.wait()
            await _readable(self._serial.fileno())
            data = self._serial.read(READ_BYTES)
            if not data:
                raise serial.SerialException("the port has ended")
            self._take(data)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    # Removed after every event: the descriptor stays readable while we wait for room and would spin.
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
