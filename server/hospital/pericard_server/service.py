"""The hospital as a process: serves gateways, and those that enrol, until it is told to stop."""

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from pericard_edge import files, serving
from pericard_edge.jsonlog import fields
from pericard_protocol.channel import server_credentials, server_options
from pericard_protocol.errors import UsageError
from pericard_protocol.proto.uplink_pb2_grpc import (
    add_EnrolmentServicer_to_server,
    add_UplinkServicer_to_server,
)
from pericard_protocol.uplink.enrolment import MAX_REQUEST_BYTES
from pericard_protocol.uplink.session import MAX_RECORD_BYTES
from pericard_server.fleet.servicer import Enrolment
from pericard_server.ingest.servicer import Uplink
from pericard_server.site import Site

log = logging.getLogger("pericard.server")

_REVOCATION_SECONDS = 1.0
_STREAMS = 64  # one thread a connected gateway
_ENROLMENTS = 4  # strangers reach that address: few at a time, and each gets one short answer


class Service:
    """The hospital's gRPC servers: the uplink, and the enrolment where the configuration has it."""

    def __init__(self, site: Site) -> None:
        """Opens what the servers need; listens to nothing yet.

        Raises:
            UsageError: a key, certificate or the database cannot be used.
            Unavailable: the KMS does not answer now.
        """
        self._site = site
        self._identity, self._authority, records = site.identity(), site.authority(), site.records()
        site.keys.check()
        self._uplink = Uplink(records, site.keys, self._authority)
        self._enrolment = None if self._authority is None else Enrolment(self._authority, records.refuse)
        self._servers: list[grpc.Server] = []

    def run(self, ready_file: Path | None) -> None:
        """Serves until SIGTERM or SIGINT, then stops within seconds.

        Args:
            ready_file: where the uplink's address is written once it is served, for whoever waits for that.

        Raises:
            UsageError: an address cannot be listened on.
        """
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        address = self._listen()
        try:
            for one in self._servers:
                one.start()
            log.info("serving", extra=fields(address=address))
            with files.announced(ready_file, address):
                while not stop.wait(_REVOCATION_SECONDS):
                    self._uplink.end_revoked()
        finally:
            ended = [serving.ended(one) for one in self._servers]
        if not all(ended):
            serving.leave()

    def _listen(self) -> str:
        """Binds the addresses of the configuration; the uplink's, with the port that it got."""
        config = self._site.config
        uplink = _server(_STREAMS, MAX_RECORD_BYTES + 1024)
        add_UplinkServicer_to_server(self._uplink, uplink)
        port = _bind(uplink, config.listen.address, server_credentials(self._identity))
        self._servers.append(uplink)
        if config.enrolment is not None:
            enrolment = _server(_ENROLMENTS, MAX_REQUEST_BYTES)
            add_EnrolmentServicer_to_server(self._enrolment, enrolment)
            # No certificate is asked of the client: the token is what it has to show.
            pair = (self._identity.private_key, self._identity.certificate)
            _bind(enrolment, config.enrolment.address, grpc.ssl_server_credentials([pair]))
            self._servers.append(enrolment)
        return f"{config.listen.address.rpartition(':')[0]}:{port}"


def _server(calls: int, max_message_bytes: int) -> grpc.Server:
    """A server that handles so many calls at once, each in a thread."""
    return grpc.server(
        ThreadPoolExecutor(calls), options=server_options(max_message_bytes), maximum_concurrent_rpcs=calls
    )


def _bind(server: grpc.Server, address: str, credentials: Any) -> int:
    try:
        port: int = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise UsageError(f"{address} cannot be listened on: is it in use, or not ours?") from None
    return port
