"""The loopback pages: what they show of a running gateway, and that strangers' bytes cost little."""

import socket
import urllib.error
import urllib.request

import pytest
from tests.parts.waiting import until
from tests.parts.ward import StandInHospital, Ward

from pericard_edge.pages import MAX_CONNECTIONS


def _address(ward: Ward) -> str:
    return (ward.folder / "state" / "address").read_text()


def _get(ward: Ward, path: str) -> str:
    with urllib.request.urlopen(f"http://{_address(ward)}{path}", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.slow
def test_metrics_and_health_tell_the_same_story(ward: Ward, hospital: StandInHospital) -> None:
    ward.start()
    ward.lines[0].write(ward.devices[0].packet() * 2)
    hospital.wait_for(1)
    until(lambda: ward.status()["acked_frames"] == 1)
    found = _get(ward, "/metrics")
    assert 'pericard_gateway_frames_accepted_total{device="1"} 1.0' in found
    assert 'pericard_gateway_frames_rejected_total{reason="replayed"} 1.0' in found
    assert "pericard_gateway_frames_acked_total 1.0" in found
    assert "pericard_gateway_uplink_up 1.0" in found
    assert _get(ward, "/healthz") == '{"ok": true, "troubles": {}}'


@pytest.mark.slow
def test_a_strangers_bytes_are_bounded_and_the_pages_go_on(ward: Ward) -> None:
    ward.start()
    host, _, port = _address(ward).partition(":")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(ward, "/etc/passwd")
    for junk in (b"\0" * 100_000, b"POST /status HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=60) as one:
            try:
                one.sendall(junk)
                while one.recv(4096):
                    pass
            except ConnectionError:
                pass
    slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(MAX_CONNECTIONS + 5)]
    assert sum(one.recv(1) == b"" for one in slow[MAX_CONNECTIONS:]) == 5  # too many: closed at once
    assert slow[0].recv(1) == b""  # said nothing for five seconds: closed
    for one in slow:
        one.close()
    assert "ok" in _get(ward, "/healthz")
