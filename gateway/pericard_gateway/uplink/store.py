"""The one thread that seals and touches the disk, seen from the event loop.

SQLite's commits wait for the disk and an ML-KEM encapsulation for the processor: neither may hold up a port.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from google.protobuf.message import DecodeError

from pericard_edge import files
from pericard_edge.jsonlog import fields
from pericard_gateway.devices.window import Mark
from pericard_gateway.operations.counters import Counters
from pericard_gateway.uplink.sealing import Sealing
from pericard_gateway.uplink.spool import Depth, RecordKey, Spool, Waiting
from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, SignedKeyBundle, SignedSessionHeader

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("pericard.gateway")


class Store:
    """Spool, session and key bundle behind awaitable calls, run one after the other."""

    def __init__(self, spool: Spool, sealing: Sealing, counters: Counters, bundle_file: Path) -> None:
        """Takes the bundle of an earlier run from `bundle_file`, if it is still good, to seal offline."""
        self._spool, self._sealing, self._counters = spool, sealing, counters
        self._bundle_file = bundle_file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        if bundle_file.exists():
            try:
                cached = SignedKeyBundle.FromString(files.read(bundle_file, "key bundle"))
                self._sealing.recall(cached)
            except (DecodeError, PeerError) as error:
                _log.warning("the kept key bundle cannot be used", extra=fields(why=str(error)))

    @property
    def depth(self) -> Depth:
        """What waits in the spool."""
        return self._spool.depth

    @property
    def sealing(self) -> Sealing:
        """The sealing state, to look at only."""
        return self._sealing

    async def keep(self, frames: Iterable[OpenedFrame], marks: Mapping[int, Mark]) -> None:
        """Seals the frames and commits them with the marks.

        Raises:
            NoKeyBundle, KemError, sqlite3.Error: nothing was kept; try again later.
        """

        def work() -> None:
            with self._counters.stage("seal"):
                batches = self._sealing.seal(frames, time.time())
            with self._counters.stage("spool"):
                self._spool.append(batches, marks)

        await self._run(work)

    async def adopt(self, signed: SignedKeyBundle) -> KeyBundle | None:
        """Verifies a fetched bundle; a newer one is taken into use, kept for the next start and returned."""

        def work() -> KeyBundle | None:
            newer = self._sealing.adopt(signed, time.time())
            if newer is not None:
                files.write(self._bundle_file, signed.SerializeToString())
            return newer

        return await self._run(work)

    async def after(self, last: int, limit: int) -> list[Waiting]:
        """As `Spool.after`."""
        return await self._run(self._spool.after, last, limit)

    async def header(self, session_id: bytes) -> SignedSessionHeader:
        """As `Spool.header`."""
        return await self._run(self._spool.header, session_id)

    async def settle(self, committed: Iterable[RecordKey], refused: Iterable[tuple[RecordKey, str]]) -> None:
        """As `Spool.settle`."""
        await self._run(self._spool.settle, committed, refused)

    async def turn(self) -> None:
        """Returns after the thread has done what it was given so far."""
        await self._run(lambda: None)

    def close(self) -> None:
        """Ends the thread after what it was given, and drops the session key."""
        self._thread.shutdown()
        self._sealing.forget()

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
