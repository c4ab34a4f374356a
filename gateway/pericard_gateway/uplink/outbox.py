"""The outbox: seals frames, and keeps the records on the disk until the hospital has them.

All of it runs on one thread of its own. A commit of SQLite's waits for the disk, and an ML-KEM encapsulation
for the processor; the event loop, which reads the ports, waits for neither.
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
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.uplink.sealing import RecordSealer
from pericard_gateway.uplink.spool import Depth, RecordKey, Spool, Waiting
from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, SignedKeyBundle, SignedSessionHeader

BUNDLE_FILE = "bundle.pb"  # in the state folder: the hospital's last key bundle

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("pericard.gateway")


class Outbox:
    """The spool and the sealer behind awaitable calls, which run one after the other."""

    def __init__(self, spool: Spool, sealer: RecordSealer, counts: GatewayCounts, bundle_file: Path) -> None:
        """Takes the key bundle that an earlier run kept in `bundle_file`, to seal without the hospital."""
        self._spool, self._sealer, self._counts = spool, sealer, counts
        self._bundle_file = bundle_file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        if bundle_file.exists():
            try:
                kept = SignedKeyBundle.FromString(files.read(bundle_file, "key bundle"))
                self._sealer.restore_bundle(kept)
            except (DecodeError, PeerError) as error:
                _log.warning("the kept key bundle cannot be used", extra=fields(why=str(error)))

    @property
    def depth(self) -> Depth:
        """What waits in the spool."""
        return self._spool.depth

    def can_seal(self) -> bool:
        """Whether a key bundle is there that is valid now."""
        return self._sealer.can_seal(time.time())

    @property
    def bundle_ends(self) -> float:
        """When the key bundle ends, in Unix seconds; 0 without one."""
        return self._sealer.bundle_ends

    async def put(self, frames: Iterable[OpenedFrame], marks: Mapping[int, Mark]) -> None:
        """Seals the frames and commits them with the marks.

        Raises:
            NoKeyBundle, KemError, sqlite3.Error: nothing was stored; try again later.
        """

        def work() -> None:
            with self._counts.stage("seal"):
                batches = self._sealer.seal(frames, time.time())
            with self._counts.stage("spool"):
                self._spool.append(batches, marks)

        await self._run(work)

    async def adopt_bundle(self, signed: SignedKeyBundle) -> KeyBundle | None:
        """Verifies a fetched bundle; a newer one is taken into use, kept for the next start and returned."""

        def work() -> KeyBundle | None:
            newer = self._sealer.adopt_bundle(signed, time.time())
            if newer is not None:
                files.write(self._bundle_file, signed.SerializeToString())
            return newer

        return await self._run(work)

    async def waiting_after(self, last: int, limit: int) -> list[Waiting]:
        """As `Spool.waiting_after`."""
        return await self._run(self._spool.waiting_after, last, limit)

    async def session_header(self, session_id: bytes) -> SignedSessionHeader:
        """As `Spool.session_header`."""
        return await self._run(self._spool.session_header, session_id)

    async def settle(self, committed: Iterable[RecordKey], refused: Iterable[tuple[RecordKey, str]]) -> None:
        """As `Spool.settle`."""
        await self._run(self._spool.settle, committed, refused)

    async def caught_up(self) -> None:
        """Returns once the thread has done all that it was given before."""
        await self._run(lambda: None)

    async def marks(self) -> dict[int, Mark]:
        """As `Spool.marks`."""
        return await self._run(self._spool.marks)

    async def key_ids(self) -> frozenset[str]:
        """The hospital's KEM keys that are needed here: to seal, or by records that wait."""
        return await self._run(lambda: self._spool.key_ids() | self._sealer.key_ids)

    def close(self) -> None:
        """Ends the thread once it has done what it was given, and drops the session key."""
        self._thread.shutdown()
        self._sealer.end_session()

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
