"""Writes updates to one port: asks the transfer (transfer.py) what its node gets now, and writes that."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pericard_gateway.updates.rollout import Rollout
from pericard_gateway.updates.transfer import UpdateTransfer

# Over BLE each write is answered within a second or two, or not at all.
WRITE_SECONDS = 10.0
# A node that has not gone on for so long has gone. Verifying the signature takes a chip seconds.
STALL_SECONDS = 15.0


class Updater:
    """Brings updates to the nodes of one port; `run` writes while the port is read beside it."""

    def __init__(self, rollout: Rollout, write: Callable[[bytes], Awaitable[None]]) -> None:
        """`write` writes to the port."""
        self._transfer, self._write = UpdateTransfer(rollout), write
        self._unwritten = b""
        self._some = asyncio.Event()

    def connected(self) -> None:
        """The port was opened, again perhaps: an update that was under way is over."""
        self._abandon("the link was lost")

    def on_status(self, device: int, payload: bytes) -> None:
        """Takes the payload of a status frame that came from the port; never waits."""
        self._unwritten += self._transfer.answer(device, payload, time.monotonic())
        if self._unwritten:
            self._some.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        task = asyncio.current_task()
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._some.wait()
            except TimeoutError:
                self._abandon("the node does not go on")
                continue
            self._some.clear()
            data, self._unwritten = self._unwritten, b""
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._write(data)
            except (Exception, asyncio.CancelledError):
                # As at reading (ble.py): whatever a radio's backend raises, it is this port's trouble alone.
                self._abandon("the link does not take it")
            if task is not None and task.cancelling():
                raise asyncio.CancelledError

    def _abandon(self, why: str) -> None:
        self._unwritten = b""
        self._transfer.abandon(why, time.monotonic())
