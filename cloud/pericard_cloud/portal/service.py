"""The running portal: the web server's process, and this one, which runs the jobs and shows the counts.

granian reads HTTP in native code and hands whole requests to Django in threads. It lives in a child process
that it starts itself; the queue in the database is all that lies between the two.
"""

import logging
import multiprocessing
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from pericard_cloud.portal import queue
from pericard_cloud.portal.config import PortalSettings
from pericard_cloud.portal.counts import counts
from pericard_cloud.portal.runner import Runner
from pericard_cloud.portal.services import services
from pericard_edge import files
from pericard_edge.confined import ConfinedExecutor
from pericard_edge.jsonlog import fields
from pericard_edge.pages import Page, health_page, served_beside
from pericard_edge.process import ready, stop_event
from pericard_edge.serving import CannotListen
from pericard_edge.settings import split_address

_log = logging.getLogger("pericard.portal")
_STOP_SECONDS = 5  # what requests under way get
_LOOK_SECONDS = 0.05


def run(ready_file: Path | None) -> None:
    """Serves the portal of Django's settings until SIGTERM or Ctrl-C.

    Raises:
        CannotListen, NoPages: an address of the settings cannot be listened on.
        FileError: the certificate's key is open to others.
    """
    # A child made by fork would have locks that our threads hold at that moment.
    multiprocessing.set_start_method("spawn", force=True)
    portal: PortalSettings = settings.PORTAL
    if portal.tls:
        files.read_secret(portal.tls.key, "portal.tls.key")
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    services().store.sweep_uploads()
    with ExitStack() as stack:
        # It keeps the port for the child, which listens on it beside this one (SO_REUSEPORT). Nobody is
        # connected to a socket that does not listen.
        port = stack.enter_context(_reserved(portal.listen)).getsockname()[1]
        workers = stack.enter_context(ConfinedExecutor(portal.limits.workers, portal.worker_limits))
        runner = Runner(portal, services().store, workers, counts())
        stack.callback(runner.stop, _STOP_SECONDS)
        pages = stack.enter_context(served_beside(portal.metrics, registry, _health))
        server = _server(portal, port)
        told = threading.Event()

        # granian calls it when it has set its own signal handlers: ours, which bound a stop, go instead.
        def begin() -> None:
            stop = stop_event()

            def wait() -> None:
                stop.wait()
                told.set()
                server.signal_handler_interrupt()  # type: ignore[no-untyped-call]

            threading.Thread(target=wait, name="told", daemon=True).start()
            announcer.start()
            runner.start()

        def announce() -> None:
            host, _ = split_address(portal.listen)
            while not _answers(host, port):
                if told.wait(_LOOK_SECONDS):
                    return
            scheme = "https" if portal.tls else "http"
            address = f"{scheme}://{portal.listen.rpartition(':')[0]}:{port}"
            with ready(ready_file, address):
                _log.info("serving", extra=fields(address=address, pages=pages))
                told.wait()

        announcer = threading.Thread(target=announce, name="ready", daemon=True)
        server.on_startup(begin)
        try:
            server.serve()
        finally:
            told.set()
            announcer.join(_STOP_SECONDS)
    _log.info("stopped")


def _server(portal: PortalSettings, port: int) -> MPServer:
    host, _ = split_address(portal.listen)
    return MPServer(
        "pericard_cloud.portal.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=portal.threads,
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        websockets=False,
        log_enabled=True,
        log_level=LogLevels.error,
        ssl_cert=portal.tls.certificate if portal.tls else None,
        ssl_key=portal.tls.key if portal.tls else None,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_SECONDS,
    )


def _reserved(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
    except OSError as error:
        one.close()
        raise CannotListen(f"cannot listen on {listen}: {error.strerror}") from None
    return one


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _health() -> Page:
    try:
        began = time.monotonic()
        queue.waiting()
        return health_page({}, unwell=time.monotonic() - began > 10.0)
    except DatabaseError as error:
        return health_page({"database": type(error).__name__}, unwell=True)
    finally:
        connection.close()
