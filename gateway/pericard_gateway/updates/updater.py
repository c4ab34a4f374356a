"""Between a port and its course (rollout.py): writes what its node has room for, beside the reading."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pericard_gateway.updates.rollout import Course, Rollout

# Over BLE each write is answered within a second or two, or not at all.
WRITE_SECONDS = 10.0
# A node that has not gone on for so long has gone. Verifying the signature takes a chip seconds.
STALL_SECONDS = 15.0


class Updater:
    """One port's; `heard` never waits, `run` writes."""

    def __init__(self, rollout: Rollout) -> None:
        self._course = Course(rollout)
        self._waiting = b""
        self._some = asyncio.Event()

    def connected(self) -> None:
        """The port was opened, again perhaps: what was under way is over."""
        self._drop("the link was lost")

    def heard(self, device: int, payload: bytes) -> None:
        """Takes the payload of a status frame that came from the port."""
        self._waiting += self._course.heard(device, payload, time.monotonic())
        if self._waiting:
            self._some.set()

    async def run(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Writes until cancelled."""
        task = asyncio.current_task()
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._some.wait()
            except TimeoutError:
                self._drop("the node does not go on")
                continue
            self._some.clear()
            data, self._waiting = self._waiting, b""
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await write(data)
            except (Exception, asyncio.CancelledError):
                # As at reading (ble.py): whatever a radio's backend raises, it is this port's trouble alone.
                self._drop("the link does not take it")
            if task is not None and task.cancelling():
                raise asyncio.CancelledError

    def _drop(self, why: str) -> None:
        self._waiting = b""
        self._course.lost(why, time.monotonic())
