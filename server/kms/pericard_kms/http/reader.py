"""Reads HTTP/1.1 requests from bytes: strict, bounded, without I/O.

Why our own: Vault's clients send the method LIST, which llhttp (httptools, uvicorn) refuses, and on one
connection a general server's hops cost more than all of the KMS's cryptography (docs/adr has the
measurement). The subset is small: a head, and a body of Content-Length. What could be read in two ways (a
repeated length, a transfer coding, a folded line, a bare LF) is refused, never guessed.
"""

import re
from dataclasses import dataclass

from pericard_kms.errors import RequestError

MAX_HEAD = 16 * 1024
# Vault's default: 32 MiB holds any batch of MAX_BATCH readings.
MAX_BODY = 32 * 1024 * 1024
# RFC 9110, section 5.6.2: the characters of a token.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class BadRequest(RequestError):
    """The bytes are not a request that this server reads; the connection ends after the answer."""

    reason = "http"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class HttpRequest:
    """A whole request."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


class RequestReader:
    """Bytes in, requests out. Feed it, then call `next` until it returns None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: HttpRequest | None = None
        self._length = 0
        self.wants_continue = False

    def feed(self, data: bytes) -> None:
        """Adds bytes from the connection."""
        self._buffer += data

    @property
    def idle(self) -> bool:
        """Whether it stands between two requests."""
        return not self._buffer and self._head is None

    def next(self) -> HttpRequest | None:
        """The next whole request, or None when more bytes are needed.

        Raises:
            BadRequest: with the status to answer before closing.
        """
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
            if end < 0:
                if len(self._buffer) >= MAX_HEAD:
                    raise BadRequest(431, f"the request's head is longer than {MAX_HEAD} bytes")
                return None
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            self._head, self._length = _head(head)
            expect = self._head.headers.get(b"expect", b"").lower()
            self.wants_continue = expect == b"100-continue" and len(self._buffer) < self._length
        if len(self._buffer) < self._length:
            return None
        request, self._head = self._head, None
        if self._length:
            request.body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
        self.wants_continue = False
        return request


def _head(head: bytes) -> tuple[HttpRequest, int]:
    """The request without its body, and the body's length."""
    lines = head.split(b"\r\n")
    line = _LINE.fullmatch(lines[0])
    if line is None:
        raise BadRequest(400, "not an HTTP/1.1 request for a path of this server")
    headers: dict[bytes, bytes] = {}
    for field in lines[1:]:
        name, colon, value = field.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadRequest(400, "the request has a malformed header line")
        name = name.lower()
        if name in headers:
            if name in (b"content-length", b"host", b"x-vault-token", b"authorization", b"transfer-encoding"):
                raise BadRequest(400, f"the header {name.decode()} is given twice")
            value = headers[name] + b", " + value
        headers[name] = value
    if b"transfer-encoding" in headers:
        raise BadRequest(411, "send the body with a Content-Length, not with a transfer coding")
    given = headers.get(b"content-length", b"0")
    if not re.fullmatch(rb"[0-9]{1,12}", given):
        raise BadRequest(400, "the Content-Length is not a number")
    length = int(given)
    if length > MAX_BODY:
        raise BadRequest(413, f"the body is longer than {MAX_BODY} bytes: send smaller batches")
    if line[3] == b"1" and b"host" not in headers:
        raise BadRequest(400, "the request has no Host header")
    connection = headers.get(b"connection", b"").lower()
    keep_alive = b"close" not in connection if line[3] == b"1" else b"keep-alive" in connection
    request = HttpRequest(line[1].decode("ascii"), line[2].decode("ascii"), headers, b"", keep_alive)
    return request, length


_REASONS = {
    200: b"OK",
    202: b"Accepted",
    204: b"No Content",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    411: b"Length Required",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}


def response(status: int, body: bytes, *, keep_alive: bool = True, head_only: bool = False) -> bytes:
    """The bytes of a response with a JSON body."""
    head = b"HTTP/1.1 %d %s\r\nCache-Control: no-store\r\n" % (status, _REASONS.get(status, b"Status"))
    if not keep_alive:
        head += b"Connection: close\r\n"
    if status == 204:
        return head + b"\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head if head_only else head + body
