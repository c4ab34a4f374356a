"""The intake: gathers opened frames into batches for the outbox, and stops the ports when there is no room.

Opened frames are readable: they are in memory only, for a quarter of a second, and their number is bounded.
"""

import asyncio
import contextlib
import logging
import sqlite3

from pericard_edge.jsonlog import fields
from pericard_gateway.devices.registry import Registry
from pericard_gateway.uplink.outbox import Outbox
from pericard_protocol.errors import PeerError, Unavailable
from pericard_protocol.proto.uplink_pb2 import OpenedFrame

# A record this large costs each frame little of the seal and the commit; at a low rate the time decides.
BATCH_FRAMES = 256
BATCH_SECONDS = 0.25
# With so many in memory the ports wait: the outbox is slower than they are, or cannot store anything.
MAX_WAITING_FRAMES = 2048
RETRY_SECONDS = 1.0

_log = logging.getLogger("pericard.gateway")


class Intake:
    """Gives frames to the outbox in batches; `room` is set while the ports may be read."""

    def __init__(self, registry: Registry, outbox: Outbox, max_spool_bytes: int) -> None:
        self._registry, self._outbox, self._max_spool_bytes = registry, outbox, max_spool_bytes
        self._frames: list[OpenedFrame] = []
        self._some, self._enough, self._finishing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.stored = asyncio.Event()  # set after every commit; the delivery waits for it
        self.spool_full = False
        self.trouble = ""

    def add(self, frames: list[OpenedFrame]) -> None:
        """Takes frames that are authentic and fresh; at least one."""
        self._frames += frames
        self._some.set()
        if len(self._frames) >= BATCH_FRAMES:
            self._enough.set()
        if len(self._frames) >= MAX_WAITING_FRAMES:
            self.room.clear()

    def review_room(self) -> None:
        """Sets or clears `room` by how much waits here and in the spool."""
        full = self._outbox.depth.bytes >= self._max_spool_bytes
        if full and not self.spool_full:
            _log.warning("the spool is full: the devices are not read until the hospital takes some")
        self.spool_full = full
        if full or len(self._frames) >= MAX_WAITING_FRAMES:
            self.room.clear()
        else:
            self.room.set()

    async def run(self) -> None:
        """Has batches stored until `finish` is called."""
        while not self._finishing.is_set():
            await self._some.wait()
            await _at_most(BATCH_SECONDS, self._enough)
            if not await self._store():
                await _at_most(RETRY_SECONDS, self._finishing)
        if not await self._store():
            _log.error("frames are lost at the stop", extra=fields(frames=len(self._frames)))

    def finish(self) -> None:
        """Lets `run` store what waits and return. Never cancel it: a commit might still happen."""
        for event in (self._finishing, self._some, self._enough):
            event.set()

    async def _store(self) -> bool:
        """Has all that waits stored; False when that could not be, and it waits on."""
        count = len(self._frames)
        frames = self._frames[:count]
        # Taken now: frames that arrive during the commit are in the next batch, with marks of their own.
        marks = self._registry.marks({frame.device for frame in frames})
        try:
            if frames:
                await self._outbox.put(frames, marks)
        except (PeerError, Unavailable, sqlite3.Error) as error:
            if str(error) != self.trouble:
                _log.error("frames cannot be stored and wait in memory", extra=fields(why=str(error)))
            self.trouble = str(error)
            return False
        self.trouble = ""
        del self._frames[:count]
        if not self._frames:
            self._some.clear()
        if len(self._frames) < BATCH_FRAMES:
            self._enough.clear()
        self.review_room()
        self.stored.set()
        return True


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
