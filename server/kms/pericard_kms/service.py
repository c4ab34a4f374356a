"""The KMS on a socket: connections, TLS, and the group commit. Everything it knows of HTTP is in `http`.

One thread does everything. Requests that arrive while a commit runs are read when it ends, handled
together, and share the next commit: the more load, the larger the groups. No reply leaves before its group
is on disk.
"""

import asyncio
import logging
import ssl
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from pericard_edge import files
from pericard_edge.jsonlog import fields
from pericard_edge.pages import served_beside
from pericard_edge.process import ready, stop_event_in_loop
from pericard_edge.settings import split_address
from pericard_kms.ceremonies import seals
from pericard_kms.config import KeyManagementSettings, KmsTlsSettings
from pericard_kms.counts import KmsCounts
from pericard_kms.errors import Misused, StorageFailed
from pericard_kms.http.api import Api
from pericard_kms.http.reader import BadRequest, HttpRequest, RequestReader, response
from pericard_kms.storage.journal import open_database
from pericard_protocol.uplink.providers import Provider, provider

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
# A head or body that does not arrive in this time, or a connection that stays silent, is closed.
_SLOW_S = 30.0
_IDLE_S = 300.0
_TICK_S = 5.0


class KmsService:
    """The KMS and its open connections."""

    def __init__(self, api: Api, counts: KmsCounts) -> None:
        self._api, self.counts = api, counts
        self.connections: set[Connection] = set()
        self._waiting: list[tuple[Connection, HttpRequest, int, bytes]] = []
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """The loop's time, seconds."""
        return self._loop.time()

    def serve(self, connection: "Connection", request: HttpRequest) -> None:
        """Handles a request; its reply goes out after the commit that it shares with others."""
        token = request.headers.get(b"x-vault-token", b"").decode("latin-1")
        if not token:
            scheme, _, rest = request.headers.get(b"authorization", b"").partition(b" ")
            token = rest.decode("latin-1") if scheme.lower() == b"bearer" else ""
        if b"x-vault-wrap-ttl" in request.headers or request.headers.get(b"x-vault-namespace", b"") not in (
            b"",
            b"root",
        ):
            # Ignored, they would give in the clear what was to be wrapped, or out of another namespace.
            status, body = 400, b'{"errors":["response wrapping and namespaces are not supported"]}'
        else:
            reply = self._api.handle(request.method, request.target, token, request.body, connection.remote)
            status, body = reply.status, reply.body
        if not self._waiting:
            # Requests of other connections that are ready now are handled first, and share this commit.
            self._loop.call_soon(self._commit)
        self._waiting.append((connection, request, status, body))

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        failed: bytes | None = None
        try:
            self._api.flush()
            self.counts.commits += 1
        except StorageFailed as error:
            self.counts.failed_commits += 1
            failed = b'{"errors":["%s"]}' % str(error).encode()
        self.counts.storage_fails = failed is not None
        for connection, request, status, body in group:
            if failed is not None:
                status, body = StorageFailed.status, failed
            self.counts.answers[status] += 1
            connection.reply(request, status, body)

    def finish(self) -> None:
        """Answers what waits, and ends every connection."""
        if self._waiting:
            self._commit()
        for connection in list(self.connections):
            connection.close()

    async def look_after(self) -> None:
        """Periodic work, and the end of slow and silent connections."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._api.tick()
            now = self.now()
            for connection in list(self.connections):
                connection.check(now)


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, service: KmsService) -> None:
        self._service = service
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0
        self.remote = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a new connection, or refuses it when too many are open."""
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's own class, same methods
        if len(self._service.connections) >= MAX_CONNECTIONS:
            self._service.counts.refused_connections += 1
            log.warning("refused a connection: %d are open", MAX_CONNECTIONS)
            stream.abort()
            return
        peer = stream.get_extra_info("peername")
        self.remote = str(peer[0]) if peer else "local"
        self._heard = self._service.now()
        self._service.connections.add(self)
        self._service.counts.connections = len(self._service.connections)

    def connection_lost(self, error: Exception | None) -> None:
        """Forgets a connection that ended."""
        self._service.connections.discard(self)
        self._service.counts.connections = len(self._service.connections)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Serves every request that these bytes complete."""
        if self._transport is None:
            return
        if self._reader.idle:
            self._heard = self._service.now()
        self._reader.feed(data)
        try:
            while request := self._reader.next():
                self._service.serve(self, request)
            if self._reader.wants_continue:
                self._reader.wants_continue = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except BadRequest as error:
            body = b'{"errors":["%s"]}' % str(error).encode()
            self._transport.write(response(error.status, body, keep_alive=False))
            self._transport.close()

    def reply(self, request: HttpRequest, status: int, body: bytes) -> None:
        """Sends a reply; what it tells of is on disk."""
        if self._transport is not None:
            self._transport.write(
                response(status, body, keep_alive=request.keep_alive, head_only=request.method == "HEAD")
            )
            if not request.keep_alive:
                self._transport.close()

    def pause_writing(self) -> None:
        """Stops reading from a client that asks faster than it takes the replies."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Reads on: the client has taken what was written."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Ends the connection when what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def check(self, now: float) -> None:
        """Closes the connection when its request is overdue or it is silent for long."""
        patience = _IDLE_S if self._reader.idle else _SLOW_S
        if self._transport is not None and now - self._heard > patience:
            self._transport.abort()


class PreparedStart(NamedTuple):
    """What the settings name, read and checked."""

    tls: ssl.SSLContext | None
    seal: seals.Seal | None
    kem: Provider


def prepare(settings: KeyManagementSettings) -> PreparedStart:
    """Reads every file that the settings name; makes none, and opens no store and no socket.

    Raises:
        NoLiboqs: the KEM provider that was asked for is not installed.
        FileError, Misused: a file cannot be read or does not fit.
    """
    kem = provider(settings.kem.provider)
    seal: seals.Seal | None = None
    if settings.passphrase is not None:
        passphrase = files.read_secret_text(settings.passphrase.file, "the passphrase file")
        seal = seals.PassphraseSeal(passphrase.encode())
    elif settings.pkcs11 is not None:
        pin = files.read_secret_text(settings.pkcs11.pin_file, "the PIN file")
        seal = seals.Pkcs11Seal(settings.pkcs11.module, settings.pkcs11.token, pin)
    return PreparedStart(None if settings.tls is None else _tls_context(settings.tls), seal, kem)


def _tls_context(tls: KmsTlsSettings) -> ssl.SSLContext:
    """TLS 1.3 for the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise Misused(
            f"cannot use the certificate {tls.certificate} with the key {tls.key}: {error}"
        ) from None
    return context


async def _run(
    api: Api, counts: KmsCounts, host: str, port: int, tls: ssl.SSLContext | None, ready_file: Path | None
) -> None:
    loop = asyncio.get_running_loop()
    service = KmsService(api, counts)
    try:
        server = await loop.create_server(lambda: Connection(service), host, port, ssl=tls, backlog=256)
    except OSError as error:
        raise Misused(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    stop = stop_event_in_loop()
    bound = server.sockets[0].getsockname()
    print(f"pericard kms: listening on {bound[0]}:{bound[1]}", flush=True)
    keeper = asyncio.create_task(service.look_after())
    with ready(ready_file, f"{bound[0]}:{bound[1]}"):
        await stop.wait()
    server.close()
    keeper.cancel()
    service.finish()


def run(settings: KeyManagementSettings, prepared: PreparedStart, ready_file: Path | None) -> None:
    """Serves until SIGTERM or SIGINT; prints one line with the address, also into `ready_file`, when ready.

    Raises:
        Misused, NoPages: the store or an address cannot be used.
    """
    log.info("the KMS starts", extra=fields(kem=str(prepared.kem)))
    store = settings.store
    with closing(open_database(store.folder, store.database, sync=store.durability == "disk")) as database:
        api = Api(database, time.time, prepared.seal, prepared.kem.suites)
        counts = KmsCounts(lambda: api.unsealed is None)
        # In a thread of their own: they must tell of a commit that hangs.
        with served_beside(settings.metrics, counts.registry, counts.health) as pages:
            log.info("the pages for monitoring", extra=fields(pages=pages))
            uvloop.run(_run(api, counts, *split_address(settings.listen.address), prepared.tls, ready_file))
