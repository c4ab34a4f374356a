"""The pages of a process. Invariant: whatever is sent, the answer is a page of the table, 404 or nothing."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from pericard_edge.pages import NoPages, Page, health_page, served_beside
from pericard_edge.settings import MetricsSettings

TROUBLES: dict[str, str] = {}


def _health() -> Page:
    if "broken" in TROUBLES:
        raise KeyError("secret")
    return health_page(TROUBLES, "disk" in TROUBLES)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    registry = CollectorRegistry()
    Counter("seen", "Seen", ["reason"], registry=registry).labels("not authentic").inc()
    with served_beside(MetricsSettings(), registry, _health) as where:
        assert where is not None
        yield where


@pytest.fixture(autouse=True)
def _no_troubles() -> Iterator[None]:
    yield
    TROUBLES.clear()


def _get(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_prometheus_text(address: str) -> None:
    status, text = _get(address, "/metrics")
    assert (status, 'seen_total{reason="not authentic"} 1.0' in text) == (200, True)


def test_health_has_every_trouble_and_fails_when_unwell(address: str) -> None:
    assert _get(address, "/healthz") == (200, '{"ok": true, "troubles": {}}')
    TROUBLES["uplink"] = "down"
    assert _get(address, "/healthz")[0] == 200
    TROUBLES["disk"] = "full"
    status, text = _get(address, "/healthz")
    assert (status, json.loads(text)) == (503, {"ok": False, "troubles": TROUBLES})


def test_a_page_that_fails_says_so_and_nothing_else(address: str) -> None:
    TROUBLES["broken"] = "yes"
    assert _get(address, "/healthz") == (500, "this page could not be made\n")
    assert _get(address, "/metrics")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/metrics"),
        ("HEAD", "/metrics"),
        ("GET", "/"),
        ("GET", "/metrics/"),
        ("GET", "/metrics/../metrics"),
        ("GET", "/../../etc/passwd"),
        ("GET", "//etc/passwd"),
        ("GET", "/%6detrics"),
    ],
)
def test_nothing_else_is_there(address: str, method: str, path: str) -> None:
    assert _get(address, path, method)[0] == 404


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=8192))
def test_junk_is_answered_with_404_or_silence(address: str, junk: bytes) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as one:
        try:
            one.sendall(junk + b"\r\n\r\n")
            one.shutdown(socket.SHUT_WR)
            answer = one.recv(100)
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 404 ")
    assert _get(address, "/healthz")[0] == 200


def test_no_settings_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    with served_beside(None, CollectorRegistry(), _health) as where:
        assert where is None


def test_an_address_in_use_is_named(address: str) -> None:
    with (
        pytest.raises(NoPages, match=address),
        served_beside(MetricsSettings(listen=address), CollectorRegistry(), _health),
    ):
        pass


def test_the_pages_end_with_the_block() -> None:
    with served_beside(MetricsSettings(), CollectorRegistry(), _health) as where:
        assert where is not None
        idle = socket.create_connection(tuple(where.split(":")), timeout=10)  # type: ignore[arg-type]
        _get(where, "/healthz")  # a later connection was served: the idle one is open at their end, too
    with idle:
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        _get(where, "/healthz")
