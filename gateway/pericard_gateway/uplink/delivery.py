"""Delivers the outbox to the hospital: one gRPC stream, opened again whenever it ends.

A record leaves the spool only when the hospital said COMMITTED. Whatever else happens (a lost stream, a
silent one, a RETRY) ends the stream, and the next stream sends everything that waits once more: the hospital
commits a record once, however often it comes.
"""

import asyncio
import datetime
import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.config import ServerSettings
from pericard_gateway.errors import UplinkError
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.uplink.credentials import Credentials
from pericard_gateway.uplink.outbox import Outbox
from pericard_gateway.uplink.spool import RecordKey
from pericard_protocol import channel
from pericard_protocol.errors import PeerError, PericardError
from pericard_protocol.proto.uplink_pb2 import (
    Ack,
    IssuedCertificate,
    KeyBundleRequest,
    RenewRequest,
    Sealed,
    SignedKeyBundle,
)
from pericard_protocol.proto.uplink_pb2_grpc import UplinkStub
from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES
from pericard_protocol.uplink.suites import SUITES

CALL_SECONDS = 10.0
# An Ack means a commit: one that takes longer than this is lost on a half-open link.
ACK_SECONDS = 20.0
RENEW_SECONDS = 600.0  # how often a new key bundle, and a new certificate when due, is asked for
WINDOW_RECORDS = 64  # sent and not acknowledged: the memory of the uplink, and what a reconnect sends again
FETCH_RECORDS = 16  # read from the disk at a time
FLUSH_SECONDS = 3.0  # what a stop gives the hospital to take the rest
_TICK_SECONDS = 1.0
_REASON_CHARACTERS = 200

_log = logging.getLogger("pericard.gateway")


class _Sent(NamedTuple):
    """A record that was sent: how many frames it holds, and when (monotonic seconds)."""

    frames: int
    at: float


class Delivery:
    """`state` is "up", or why nothing can be delivered now."""

    def __init__(
        self,
        server: ServerSettings,
        credentials: Credentials,
        outbox: Outbox,
        stored: asyncio.Event,
        on_settled: Callable[[], None],
        counts: GatewayCounts,
    ) -> None:
        """`stored` is set when records were added; `on_settled` is called when some have left."""
        self._server, self._credentials, self._outbox = server, credentials, outbox
        self._stored, self._on_settled, self._counts = stored, on_settled, counts
        self._sent: dict[RecordKey, _Sent] = {}
        self._acks: list[Ack] = []
        self._acked = asyncio.Event()
        self._window = asyncio.Event()
        self._backoff = Backoff(0.25, 15.0)
        self._emptied = asyncio.Event()  # set whenever the last record that waited was settled
        self.state = "not connected yet"

    async def run(self) -> None:
        """Connects, delivers and reconnects until cancelled."""
        while True:
            try:
                await self._deliver()
            except grpc.aio.AioRpcError as error:
                self._down(f"{error.code().name}: {(error.details() or '')[:_REASON_CHARACTERS]}")
            except (PericardError, OSError, sqlite3.Error) as error:
                # Our own mistakes too: an operator may be replacing a file, or make room on a full disk.
                self._down(str(error))
            await asyncio.sleep(self._backoff.next())
            self._counts.reconnects += 1

    async def flush(self) -> None:
        """While `run` runs: waits until nothing waits any more, for a few seconds at most."""
        self._emptied.clear()
        if self._outbox.depth.records == 0:
            return
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._emptied.wait()
        except TimeoutError:
            waiting = fields(spool_records=self._outbox.depth.records)
            _log.warning("stopped before all was delivered: it waits on disk", extra=waiting)

    def _down(self, why: str) -> None:
        if self.state != why:
            _log.warning("uplink down", extra=fields(server=self._server.address, why=why))
        self.state = why

    async def _deliver(self) -> None:
        """Delivers over one connection until that ends, and raises why it ended."""
        options = [
            *channel.channel_options(MAX_MESSAGE_BYTES, self._server.name),
            # Our own back-off decides when to try: gRPC's, shared by all channels, reaches minutes.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        credentials = channel.channel_credentials(self._credentials.identity())
        async with grpc.aio.secure_channel(self._server.address, credentials, options=options) as connection:
            stub = UplinkStub(connection)
            await self._renew(stub)
            stream = stub.Ingest()
            self._sent.clear()
            self._acks.clear()
            self._window.set()
            if self.state != "up":
                _log.info("uplink up", extra=fields(server=self._server.address))
            self.state = "up"
            await _first_to_fail(
                self._send(stream),
                self._receive(stream),
                self._settle(),
                self._watch_for_silence(),
                self._keep_renewing(stub),
            )

    async def _send(self, stream: Any) -> None:
        last, session = 0, b""
        while True:
            self._stored.clear()
            waiting = await self._outbox.waiting_after(last, FETCH_RECORDS)
            if not waiting:
                await self._stored.wait()
            for id_, record, frames in waiting:
                await self._window.wait()
                if record.session_id != session:
                    header = await self._outbox.session_header(record.session_id)
                    await self._write(stream, Sealed(session=header))
                    session = record.session_id
                self._sent[record.session_id, record.number] = _Sent(frames, time.monotonic())
                if len(self._sent) >= WINDOW_RECORDS:
                    self._window.clear()
                await self._write(stream, Sealed(record=record))
                last = id_

    async def _write(self, stream: Any, message: Sealed) -> None:
        self._counts.bytes_out += message.ByteSize()
        try:
            await stream.write(message)
        except asyncio.InvalidStateError:  # grpcio's word for a call that ended before this write began
            raise UplinkError("the server ended the stream") from None

    async def _receive(self, stream: Any) -> None:
        while True:
            ack = await stream.read()
            if ack is grpc.aio.EOF:
                raise UplinkError("the server ended the stream")
            if not isinstance(ack, Ack):  # grpcio gives None for bytes that do not parse
                raise UplinkError("the server sent what is not a message of the uplink")
            sent = self._sent.pop((ack.session_id, ack.number), None)
            if sent is None:
                raise UplinkError("the server acknowledged a record that was not sent")
            if ack.status == Ack.RETRY:
                raise UplinkError(f"the server cannot commit now: {ack.reason[:_REASON_CHARACTERS]}")
            if ack.status not in (Ack.COMMITTED, Ack.REFUSED):
                raise UplinkError(f"the server acknowledged with an unknown status {ack.status}")
            self._backoff.reset()
            self._window.set()
            self._counts.stage_ms["uplink"] += (time.monotonic() - sent.at) * 1e3
            if ack.status == Ack.COMMITTED:
                self._counts.acked_records += 1
                self._counts.acked_frames += sent.frames
            else:
                reason = ack.reason[:_REASON_CHARACTERS]
                self._counts.refused[reason] += 1
                about = fields(session=ack.session_id.hex(), number=ack.number, reason=reason)
                _log.error("the server refused a record: it is kept aside", extra=about)
            self._acks.append(ack)
            self._acked.set()

    async def _settle(self) -> None:
        while True:
            await self._acked.wait()
            self._acked.clear()
            acks, self._acks = self._acks, []  # all that came during the last commit, in one
            await self._outbox.settle(
                [(ack.session_id, ack.number) for ack in acks if ack.status == Ack.COMMITTED],
                [
                    ((ack.session_id, ack.number), ack.reason[:_REASON_CHARACTERS] or "no reason")
                    for ack in acks
                    if ack.status == Ack.REFUSED
                ],
            )
            self._on_settled()
            if self._outbox.depth.records == 0:
                self._emptied.set()

    async def _watch_for_silence(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            oldest = next(iter(self._sent.values()), None)
            if oldest is not None and time.monotonic() - oldest.at > ACK_SECONDS:
                raise UplinkError(f"no acknowledgement in {ACK_SECONDS:.0f} s: the link is half open")

    async def _keep_renewing(self, stub: UplinkStub) -> None:
        while True:
            # The next bundle is there when this one ends: ask then, not up to ten minutes later.
            await asyncio.sleep(
                max(_TICK_SECONDS, min(RENEW_SECONDS, self._outbox.bundle_ends - time.time()))
            )
            await self._renew(stub)

    async def _renew(self, stub: UplinkStub) -> None:
        try:
            await self._renew_bundle(stub)
            await self._renew_certificate(stub)
        except PeerError as error:
            # What waits was sealed under an earlier, good bundle and is delivered all the same.
            self._counts.refused[error.reason] += 1
            _log.error("what the server renews was refused", extra=fields(why=str(error)))

    async def _renew_bundle(self, stub: UplinkStub) -> None:
        request = KeyBundleRequest(suites=list(SUITES))
        signed = await stub.GetKeyBundle(request, timeout=CALL_SECONDS)
        if not isinstance(signed, SignedKeyBundle):
            raise UplinkError("the server sent what is not a key bundle")
        if newer := await self._outbox.adopt_bundle(signed):
            _log.info("new key bundle", extra=fields(key_id=newer.key_id))

    async def _renew_certificate(self, stub: UplinkStub) -> None:
        request = self._credentials.renewal(datetime.datetime.now(datetime.UTC))
        if request is None:
            return
        try:
            issued = await stub.Renew(RenewRequest(certificate_request=request), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            # A hospital that certifies nobody itself says so; days are left to renew by hand.
            _log.error("the certificate was not renewed", extra=fields(why=error.details()))
            return
        if not isinstance(issued, IssuedCertificate):
            raise UplinkError("the server sent what is not a certificate")
        ends = self._credentials.adopt(issued.certificate)
        _log.info("certificate renewed", extra=fields(ends=ends.isoformat()))


async def _first_to_fail(*work: Any) -> None:
    """Runs coroutines that never end by themselves; when one raises, ends the others and raises the same."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
