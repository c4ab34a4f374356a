"""/metrics, /healthz and /status on loopback: a small HTTP server that answers GET and nothing else.

Every connection costs one bounded read, one answer and a few seconds at most, whoever is at the other end.
"""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

MAX_REQUEST_BYTES = 4096
MAX_CONNECTIONS = 32
REQUEST_SECONDS = 5.0


class Page(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class Pages:
    """Serves each path by a function that makes its page."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = dict(pages)
        self._server: asyncio.Server | None = None
        self._open = 0
        self.refused = 0

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port, which is a free one when 0 was asked for."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

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
                page = self._answer(await reader.readuntil(b"\r\n\r\n"))
                writer.write(_response(page))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            self.refused += 1
        finally:
            self._open -= 1
            writer.close()

    def _answer(self, request: bytes) -> Page:
        method, _, rest = request.partition(b" ")
        make = self._pages.get(rest.partition(b" ")[0].decode("latin-1"))
        if method != b"GET" or make is None:
            self.refused += 1
            return Page(b"there is no such page\n", status=HTTPStatus.NOT_FOUND)
        return make()


def _response(page: Page) -> bytes:
    return (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode() + page.body
