"""The hospital as a process: serves gateways, and those that enrol, until it is told to stop."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from pericard_edge.jsonlog import fields
from pericard_edge.pages import served_beside
from pericard_edge.process import ready, stop_event
from pericard_edge.serving import serving
from pericard_protocol.channel import server_credentials, server_options
from pericard_protocol.proto.uplink_pb2_grpc import (
    add_EnrolmentServicer_to_server,
    add_UplinkServicer_to_server,
)
from pericard_protocol.uplink.enrolment import MAX_REQUEST_BYTES
from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES
from pericard_server.counts import HospitalCounts, health
from pericard_server.fleet.servicer import Enrolment
from pericard_server.ingest.servicer import Uplink
from pericard_server.site import Site

log = logging.getLogger("pericard.server")

_REVOCATION_SECONDS = 1.0
_STREAMS = 64  # one thread a connected gateway
_ENROLMENTS = 4  # strangers reach that address: few at a time, and each gets one short answer


class HospitalService:
    """The hospital's gRPC servers: the uplink, and the enrolment where the configuration has it."""

    def __init__(self, site: Site) -> None:
        """Opens what the servers need; listens to nothing yet.

        Raises:
            UsageError: a key, certificate or the database cannot be used.
            Unavailable: the KMS does not answer now.
        """
        self._site = site
        self._identity, authority, records = site.identity(), site.authority(), site.records()
        site.keys.check()
        self._counts = HospitalCounts()

        def count_refusal(reason: str) -> None:
            self._counts.refuse(reason)
            records.count_refusal(reason)

        self._uplink = Uplink(records, site.keys, self._counts, authority)
        self._enrolment = None if authority is None else Enrolment(authority, count_refusal)
        log.info("the hospital starts", extra=fields(kem=site.keys.kem))

    def run(self, ready_file: Path | None) -> None:
        """Serves until SIGTERM or SIGINT, then stops within seconds.

        Args:
            ready_file: where the uplink's address is written once it is served, for whoever waits for that.

        Raises:
            CannotListen, NoPages: an address is in use, or not this machine's.
        """
        stop = stop_event()
        with (
            served_beside(
                self._site.config.metrics, self._counts.registry, lambda: health(self._counts)
            ) as pages,
            self._serving_enrolment(),
            self._serving_uplink() as address,
        ):
            log.info("serving", extra=fields(address=address, pages=pages))
            with ready(ready_file, address):
                while not stop.wait(_REVOCATION_SECONDS):
                    self._uplink.end_revoked()

    @contextmanager
    def _serving_uplink(self) -> Iterator[str]:
        server = _grpc_server(_STREAMS, MAX_MESSAGE_BYTES)
        add_UplinkServicer_to_server(self._uplink, server)
        credentials = server_credentials(self._identity)
        with serving(server, self._site.config.listen.address, credentials) as address:
            yield address

    @contextmanager
    def _serving_enrolment(self) -> Iterator[None]:
        if self._site.config.enrolment is None:
            yield
            return
        server = _grpc_server(_ENROLMENTS, MAX_REQUEST_BYTES)
        add_EnrolmentServicer_to_server(self._enrolment, server)
        # No certificate is asked of the client: the token is what it has to show.
        pair = (self._identity.private_key, self._identity.certificate)
        with serving(server, self._site.config.enrolment.address, grpc.ssl_server_credentials([pair])):
            yield


def _grpc_server(calls: int, max_message_bytes: int) -> grpc.Server:
    """A server that handles so many calls at once, each in a thread."""
    return grpc.server(
        ThreadPoolExecutor(calls), options=server_options(max_message_bytes), maximum_concurrent_rpcs=calls
    )
