"""/metrics and /healthz of a process: a small HTTP server that answers GET and nothing else.

No client can cost more than one bounded read, one answer and a few seconds. The path of a request is looked
up in a table of pages and nowhere else, so no request reaches a file.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from pericard_edge.settings import MetricsSettings, split_address
from pericard_protocol.errors import UsageError

MAX_REQUEST_BYTES = 4096
MAX_CONNECTIONS = 32
REQUEST_SECONDS = 5.0

_log = logging.getLogger("pericard.pages")


class NoPages(UsageError):
    """The address for the pages cannot be listened on."""


class Page(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


def metrics_page(registry: CollectorRegistry) -> Page:
    """What /metrics shows: the registry's counts at this moment, in Prometheus's text format."""
    return Page(generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)


def health_page(troubles: Mapping[str, str], unwell: bool) -> Page:
    """What /healthz shows: everything that is wrong, by where; 503 when the process cannot do its work."""
    body = json.dumps({"ok": not unwell, "troubles": dict(troubles)}).encode()
    return Page(body, "application/json", HTTPStatus.SERVICE_UNAVAILABLE if unwell else HTTPStatus.OK)


class Pages:
    """Serves each path by a function that makes its page."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]], *, in_threads: bool = False) -> None:
        """With `in_threads` pages are made outside the loop, so that one may wait for a database."""
        self._pages, self._in_threads = dict(pages), in_threads
        self._server: asyncio.Server | None = None
        self._open = 0
        self.refused = 0

    async def start(self, listen: str) -> str:
        """Listens on HOST:PORT; returns the same, with a free port when 0 was asked for.

        Raises:
            NoPages: that address cannot be listened on.
        """
        host, port = split_address(listen)
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES)
        except (OSError, OverflowError) as error:  # a port above 65,535 overflows
            raise NoPages(f"[metrics] cannot listen on {listen}: {error}") from None
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS:
                self.refused += 1
                return
            async with asyncio.timeout(REQUEST_SECONDS):
                page = await self._answer(await reader.readuntil(b"\r\n\r\n"))
                writer.write(_response(page))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            self.refused += 1
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, request: bytes) -> Page:
        method, _, rest = request.partition(b" ")
        make = self._pages.get(rest.partition(b" ")[0].decode("latin-1"))
        if method != b"GET" or make is None:
            self.refused += 1
            return Page(b"there is no such page\n", status=HTTPStatus.NOT_FOUND)
        try:
            return await asyncio.to_thread(make) if self._in_threads else make()
        except Exception as error:  # the client is told, and later requests are answered
            _log.error("a page could not be made: %s: %s", type(error).__name__, error)
            return Page(b"this page could not be made\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _response(page: Page) -> bytes:
    return (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode() + page.body


@contextmanager
def served_beside(
    settings: MetricsSettings | None, registry: CollectorRegistry, health: Callable[[], Page]
) -> Iterator[str | None]:
    """/metrics and /healthz while the block runs, from a thread of their own; gives their address.

    For a process whose work is done by threads; one with an asyncio loop starts `Pages` in it. Without
    settings nothing is served, and the address is None. `health` may block: each call of it has a thread.

    Raises:
        NoPages: the address cannot be listened on.
    """
    if settings is None:
        yield None
        return
    pages = Pages({"/metrics": lambda: metrics_page(registry), "/healthz": health}, in_threads=True)
    started: Future[tuple[str, Callable[[], object]]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve_until_told(pages, settings.listen, started)),
        name="pages",
        daemon=True,
    )
    thread.start()
    address, end = started.result()
    try:
        yield address
    finally:
        end()
        thread.join(REQUEST_SECONDS)


async def _serve_until_told(
    pages: Pages, listen: str, started: "Future[tuple[str, Callable[[], object]]]"
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    try:
        address = await pages.start(listen)
    except BaseException as error:  # whatever it is: else the other thread waits for ever
        started.set_exception(error)
        return
    started.set_result((address, lambda: loop.call_soon_threadsafe(stop.set)))
    await stop.wait()
    pages.close()
