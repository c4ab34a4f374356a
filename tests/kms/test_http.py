"""Invariant: however the bytes are cut, the reader gives the requests that h11 reads, or BadRequest."""

import contextlib
import itertools
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericard_kms.http.reader import MAX_BODY, MAX_HEAD, BadRequest, RequestReader, response

REQUEST = (
    b"POST /v1/transit/encrypt/k?x=1 HTTP/1.1\r\nHost: kms\r\nX-Vault-Token:  hvs.a \r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


def read_all(pieces: Any) -> Any:
    reader, requests = RequestReader(), []
    for piece in pieces:
        reader.feed(piece)
        while request := reader.next():
            requests.append(request)
    return requests, reader


@given(st.lists(st.integers(0, 3 * len(REQUEST)), max_size=6))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    stream = REQUEST * 3
    edges = [0, *sorted(cuts), len(stream)]
    requests, reader = read_all(stream[a:b] for a, b in itertools.pairwise(edges))
    assert len(requests) == 3
    assert reader.idle
    for request in requests:
        assert (request.method, request.target, request.body) == (
            "POST",
            "/v1/transit/encrypt/k?x=1",
            b"body",
        )
        assert request.headers[b"x-vault-token"] == b"hvs.a"
        assert request.keep_alive


def test_list_is_a_method() -> None:
    requests, _ = read_all([b"LIST /v1/transit/keys HTTP/1.1\r\nHost: k\r\n\r\n"])
    assert requests[0].method == "LIST"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /a HTTP/2.0\r\nHost: k\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nHost: k\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\nHost: k\r\n\r\n", 400),  # a bare LF
        (b"GET /a HTTP/1.1\r\nHost: k\r\n folded\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost : k\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: k\r\nX: \x00\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"GET /a HTTP/1.1\r\nHost: k\r\nX-Vault-Token: a\r\nX-Vault-Token: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, 431),
    ],
)
def test_what_could_be_read_two_ways_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read_all([head])
    assert caught.value.status == status


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"X-A", b"Accept", b"X-Vault-Token"]), st.sampled_from([b"", b"a", b"b c", b"\xff"])
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
)


@settings(max_examples=200)
@given(
    st.sampled_from([b"GET", b"POST", b"LIST", b"get", b"P T"]),
    st.sampled_from([b"/v1/a", b"/", b"*", b"/a b", b"/%41?list=true"]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/3.0"]),
    HEADERS,
    st.sampled_from([None, b"0", b"3", b"03", b"-1", b"x"]),
    st.binary(max_size=6),
)
def test_what_it_accepts_h11_reads_alike(
    method: bytes,
    target: bytes,
    version: bytes,
    headers: list[tuple[bytes, bytes]],
    length: bytes | None,
    body: bytes,
) -> None:
    lines = [b"%s %s %s" % (method, target, version), b"Host: kms"]
    lines += [b"%s: %s" % pair for pair in headers]
    if length is not None:
        lines.append(b"Content-Length: " + length)
    stream = b"\r\n".join(lines) + b"\r\n\r\n" + body
    try:
        requests, _ = read_all([stream])
    except BadRequest:
        requests = []
    if not requests:
        return
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(stream)
    event = peer.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target.decode()) == (requests[0].method, requests[0].target)
    assert dict(event.headers) == requests[0].headers
    data = b""
    while isinstance(event := peer.next_event(), h11.Data):
        data += bytes(event.data)
    assert data == requests[0].body


@given(st.binary(max_size=300))
def test_junk_is_requests_or_bad_request(junk: bytes) -> None:
    with contextlib.suppress(BadRequest):
        read_all([junk])


@pytest.mark.parametrize("status", [200, 204, 400, 473, 503])
def test_h11_reads_the_responses(status: int) -> None:
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "k")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(response(status, b"" if status == 204 else b'{"a":1}'))
    answer = peer.next_event()
    assert isinstance(answer, h11.Response)
    assert answer.status_code == status
    body = peer.next_event()
    if status == 204:
        assert isinstance(body, h11.EndOfMessage)
    else:
        assert isinstance(body, h11.Data)
        assert bytes(body.data) == b'{"a":1}'
