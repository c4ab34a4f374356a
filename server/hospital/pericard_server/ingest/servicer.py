"""The Uplink service: opens each gateway's sealed sessions and commits their frames.

A record is acknowledged as COMMITTED only after its rows are durably stored; one that can never be accepted
is REFUSED with its reason; a fault of our own is answered with RETRY, and the gateway keeps the record. A
frame of a lost device is refused by itself: it is counted and not stored, and its record is COMMITTED, for
nothing of it has to be sent again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from django.db import DatabaseError, close_old_connections

from pericard_edge.jsonlog import fields
from pericard_protocol.channel import ChannelRefused, peer_name
from pericard_protocol.errors import PeerError, Unavailable, UsageError
from pericard_protocol.proto.uplink_pb2 import (
    Ack,
    IssuedCertificate,
    KeyBundleRequest,
    RenewRequest,
    Sealed,
    SealedRecord,
    SignedKeyBundle,
)
from pericard_protocol.uplink.enrolment import requested_key
from pericard_protocol.uplink.session import SessionOpener
from pericard_server.counts import HospitalCounts
from pericard_server.custody.keys import HospitalKeys
from pericard_server.errors import EmptyMessage, UnknownGateway, UnknownSession
from pericard_server.fleet import gateways
from pericard_server.fleet.authority import Authority
from pericard_server.fleet.losses import REASON as LOST
from pericard_server.fleet.models import Gateway
from pericard_server.records.store import Records, Stored

log = logging.getLogger("pericard.server.ingest")

# A gateway resends sessions of its spool after a long cut; each holds a key here while its stream lives.
MAX_SESSIONS_PER_STREAM = 1024


@dataclass
class Tally:
    """What one stream brought: records, frames stored, seen before or refused, sealed bytes, and our time."""

    records: int = 0
    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    bytes: int = 0
    open_ms: float = 0.0
    commit_ms: float = 0.0

    def add(self, size: int, stored: Stored, open_seconds: float, commit_seconds: float) -> None:
        """Counts one committed record."""
        self.records += 1
        self.stored += stored.new
        self.duplicates += stored.duplicates
        self.refused += stored.refused
        self.bytes += size
        self.open_ms += open_seconds * 1e3
        self.commit_ms += commit_seconds * 1e3


@contextmanager
def _keys_at_hand(context: grpc.ServicerContext, counts: HospitalCounts) -> Iterator[None]:
    """Ends the call with UNAVAILABLE where our own keys cannot be had, now or until somebody mends them.

    It is our trouble and refuses nothing: the gateway keeps its records and comes back.
    """
    try:
        yield
    except (Unavailable, UsageError) as error:
        log.error("keys cannot be had", extra=fields(why=str(error)))
        counts.no_keys(str(error))
        context.abort(grpc.StatusCode.UNAVAILABLE, "the hospital cannot reach its keys")


class Uplink:
    """The servicer of `pericard.protocol.uplink.v1.Uplink`."""

    def __init__(
        self, records: Records, keys: HospitalKeys, counts: HospitalCounts, authority: Authority | None = None
    ) -> None:
        """`authority` renews certificates; without one, gateways get theirs elsewhere."""
        self._records, self._counts = records, counts
        self._authority = authority
        self._keys = keys
        self._streams: dict[grpc.ServicerContext, str] = {}

    def end_revoked(self) -> None:
        """Ends the streams of revoked gateways. To be called every second: nothing else sees idle ones."""
        if not (streams := dict(self._streams)):
            return
        close_old_connections()
        try:
            admitted = gateways.admitted_among(set(streams.values()))
        except DatabaseError as error:  # the next second asks again
            log.warning("revocations not read", extra=fields(error=type(error).__name__))
            return
        for context, name in streams.items():
            if name not in admitted:
                log.warning("stream cut", extra=fields(gateway=name, why="revoked"))
                context.cancel()

    def GetKeyBundle(self, request: KeyBundleRequest, context: grpc.ServicerContext) -> SignedKeyBundle:
        """Today's bundle of the first suite that both offer."""
        self._admit(context)
        with _keys_at_hand(context, self._counts):
            signed = self._keys.bundle(list(request.suites), time.time())
        self._counts.keys_had()
        signed.server_time_us = int(time.time() * 1e6)
        return signed

    def Renew(self, request: RenewRequest, context: grpc.ServicerContext) -> IssuedCertificate:
        """A new certificate for the caller's name, for a key that it holds."""
        gateway = self._admit(context)
        if self._authority is None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this hospital does not certify gateways")
            raise AssertionError  # abort has raised already; this tells the type checker
        try:
            key = requested_key(request.certificate_request)
        except PeerError as error:
            self._count_refusal(error, gateway.name)
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
        log.info("certificate renewed", extra=fields(gateway=gateway.name))
        return IssuedCertificate(certificate=self._authority.issue(gateway.name, key))

    def Ingest(self, parts: Iterator[Sealed], context: grpc.ServicerContext) -> Iterator[Ack]:
        """One gateway's stream: session headers and records in, an Ack for each record out."""
        gateway = self._admit(context)
        verifier = MLDSA65PublicKey.from_public_bytes(bytes(gateway.verifying_key))
        sessions: dict[bytes, SessionOpener] = {}
        tally = Tally()
        log.info("stream began", extra=fields(gateway=gateway.name))
        self._streams[context] = gateway.name
        self._counts.streams.inc()
        try:
            with _keys_at_hand(context, self._counts):
                yield from self._acks(
                    self._while_admitted(parts, context), gateway.name, verifier, sessions, tally
                )
        finally:
            self._streams.pop(context, None)
            self._counts.streams.dec()
            log.info("stream ended", extra=fields(gateway=gateway.name, **vars(tally)))

    def _while_admitted(self, parts: Iterator[Sealed], context: grpc.ServicerContext) -> Iterator[Sealed]:
        for part in parts:
            self._admit(context)  # for every message: a gateway that was revoked is cut off at once
            yield part

    def _acks(
        self,
        parts: Iterator[Sealed],
        gateway: str,
        verifier: MLDSA65PublicKey,
        sessions: dict[bytes, SessionOpener],
        tally: Tally,
    ) -> Iterator[Ack]:
        for part in parts:
            if part.WhichOneof("item") == "session":
                try:
                    opener = SessionOpener(part.session, gateway, verifier, self._keys.decapsulate)
                except PeerError as error:
                    self._count_refusal(error, gateway)  # its records will find no session, and are refused
                    continue
                if len(sessions) >= MAX_SESSIONS_PER_STREAM:
                    del sessions[next(iter(sessions))]
                sessions[opener.header.session_id] = opener
            elif part.WhichOneof("item") == "record":
                yield self._commit(part.record, sessions.get(part.record.session_id), gateway, tally)
            else:
                self._count_refusal(EmptyMessage("a message without an item"), gateway)

    def _commit(self, record: SealedRecord, session: SessionOpener | None, gateway: str, tally: Tally) -> Ack:
        ack = Ack(session_id=record.session_id, number=record.number)
        try:
            if session is None:
                raise UnknownSession("the record's session was refused or never announced on this stream")
            began = time.perf_counter()
            frames = session.open(record).frames
            opened = time.perf_counter()
            stored = self._records.commit(frames)
            if stored.refused:
                log.warning(
                    "frames refused", extra=fields(gateway=gateway, reason=LOST, frames=stored.refused)
                )
            self._counts.commit(len(record.ciphertext), stored)
            tally.add(len(record.ciphertext), stored, opened - began, time.perf_counter() - opened)
        except PeerError as error:
            self._count_refusal(error, gateway)
            ack.status, ack.reason = Ack.REFUSED, error.reason
        except DatabaseError as error:
            why = _told_by_the_database(error)
            log.error("not committed", extra=fields(gateway=gateway, error=why))
            self._counts.retry(why)
            ack.status, ack.reason = Ack.RETRY, "storage"
        else:
            ack.status = Ack.COMMITTED
        return ack

    def _admit(self, context: grpc.ServicerContext) -> Gateway:
        close_old_connections()  # a gRPC thread lives long; its database connection may not
        try:
            name = peer_name(context)
            if gateway := gateways.admitted(name):
                return gateway
            raise UnknownGateway(f"{name!r} is no registered gateway: `pericard server gateway add` it")
        except (ChannelRefused, UnknownGateway) as error:
            self._count_refusal(error, "unknown")
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            raise  # abort has raised already; this tells the type checker

    def _count_refusal(self, error: PeerError, gateway: str) -> None:
        self._counts.refuse(error.reason)
        self._records.count_refusal(error.reason)
        log.warning("refused", extra=fields(gateway=gateway, reason=error.reason, why=str(error)))


def _told_by_the_database(error: DatabaseError) -> str:
    """The kind and the database's own code, such as SQLITE_FULL; its text may repeat a value."""
    code = getattr(error.__cause__, "sqlite_errorname", None) or getattr(error.__cause__, "sqlstate", None)
    return type(error).__name__ + (f": {code}" if code else "")
