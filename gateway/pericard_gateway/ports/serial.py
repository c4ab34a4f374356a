"""Serial ports on the event loop: opened, read when they have something, reopened when they vanish."""

import asyncio
import contextlib
import logging
import os

import serial

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.config import SerialSettings
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.port import Reader

# The most that is taken from one port at once. To open its frames takes about a millisecond, in which the
# other ports wait.
READ_BYTES = 16384
_DRAIN_READS = 64

_log = logging.getLogger("pericard.gateway")


class SerialPort:
    """One serial port; a `Port`."""

    def __init__(self, settings: SerialSettings, room: asyncio.Event, counts: GatewayCounts) -> None:
        """Opens nothing yet; while `room` is not set, nothing is read."""
        self._settings, self._room, self._counts = settings, room, counts
        self._serial: serial.Serial | None = None
        self._attempted = asyncio.Event()
        self.trouble = "not opened yet"

    @property
    def name(self) -> str:
        """The path of its device file."""
        return str(self._settings.path)

    async def run(self, reader: Reader) -> None:
        """Reads until cancelled. A port that is absent or breaks is a state, not an error."""
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                opened = self._open()
                reader.connected()
                backoff.reset()
                self._attempted.set()
                await self._read(opened, reader)
            except (OSError, serial.SerialException) as error:
                self._close()
                self._counts.port_errors += 1
                if self.trouble != str(error):
                    _log.warning("port lost", extra=fields(port=self.name, why=str(error)))
                self.trouble = str(error)
                self._attempted.set()
            await asyncio.sleep(backoff.next())

    async def listening(self) -> None:
        """Returns after the first attempt to open it: opening discards what the line had buffered before."""
        await self._attempted.wait()

    async def write(self, data: bytes) -> None:
        """Writes to the device. What the line does not take at once is dropped: then nobody reads it.

        Raises:
            OSError, serial.SerialException: the port is not open, or breaks.
        """
        if self._serial is None:
            raise serial.SerialException("the port is not open")
        with contextlib.suppress(BlockingIOError):
            os.write(self._serial.fileno(), data)

    def drain(self, reader: Reader) -> None:
        """Gives the reader what has arrived and was not read yet, a bounded amount, and closes the port."""
        if self._serial is not None:
            try:
                for _ in range(_DRAIN_READS):
                    if not (data := self._serial.read(READ_BYTES)):
                        break
                    reader.take(data)
            except (OSError, serial.SerialException) as error:
                _log.warning("port lost", extra=fields(port=self.name, why=str(error)))
        self._close()

    def _open(self) -> serial.Serial:
        # exclusive: a second reader of the same port would take bytes out of the middle of frames.
        self._serial = serial.Serial(self.name, self._settings.baud, timeout=0, exclusive=True)
        self.trouble = ""
        _log.info("port opened", extra=fields(port=self.name))
        return self._serial

    def _close(self) -> None:
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    async def _read(self, opened: serial.Serial, reader: Reader) -> None:
        while True:
            await self._room.wait()
            await _readable(opened.fileno())
            data = opened.read(READ_BYTES)
            if not data:
                raise serial.SerialException("the port has ended")
            reader.take(data)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    # The loop stops watching after every event. The descriptor stays readable while the gateway waits for
    # room, and would be reported again and again.
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
