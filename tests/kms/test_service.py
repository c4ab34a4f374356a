"""The socket's edge: TLS only, bounded bodies, slow and rude clients, and PostgreSQL as the store."""

import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.parts.kms import KmsProcess, StartKms, VaultClient
from tests.parts.postgresql import postgresql_running

from pericard_edge.kms import KmsClient, KmsRefused, KmsUnreachable
from pericard_kms.cli import kms as kms_command
from pericard_kms.errors import Misused
from pericard_kms.http.reader import MAX_BODY
from pericard_kms.storage.journal import open_database


def talk(port: Any, data: bytes) -> Any:
    """What comes back for raw bytes, until the server closes or waits."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while piece := connection.recv(65536):
            got += piece
        return got


def test_rude_clients_get_an_answer_or_nothing_and_the_rest_goes_on(process: KmsProcess) -> None:
    head = b"POST /v1/sys/unseal HTTP/1.1\r\nHost: k\r\n"
    assert b" 413 " in talk(process.port, head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert b" 411 " in talk(process.port, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert b" 400 " in talk(process.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert b" 431 " in talk(process.port, b"GET /" + b"a" * 20_000)
    assert talk(process.port, head) == b""
    deep = b'{"key":' + b"[" * 5000 + b"]" * 5000 + b"}"
    body = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(deep) + deep
    assert b" 400 " in talk(process.port, head + body)
    for junk in (b"[]", b'"x"', b"{", b"\xff"):
        body = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(junk) + junk
        assert b" 400 " in talk(process.port, head + body)
    with KmsClient(process.url) as client:
        assert client.call("GET", "sys/seal-status")["initialized"] is False


def test_pipelined_requests_are_answered_in_order(process: KmsProcess) -> None:
    get = b"GET /v1/sys/%s HTTP/1.1\r\nHost: k\r\n\r\n"
    last = b"GET /v1/sys/leader HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n"
    got = talk(process.port, get % b"init" + get % b"seal-status" + last)
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in got.split(b"HTTP/1.1 200")[1:]]
    assert [sorted(json.loads(body))[0] for body in bodies] == ["initialized", "initialized", "ha_enabled"]


@pytest.mark.parametrize("depth", [100, 240, 260, 300, 450, 900])
def test_a_request_nested_deep_is_refused_before_the_act_or_recorded(kms: VaultClient, depth: int) -> None:
    kms.ok("POST", "transit/keys/k", {})
    kms.api.flush()
    leaves = kms.store.log.size
    deep = b'{"plaintext":"","x":' + b"[" * depth + b"]" * depth + b"}"
    reply = kms.api.handle("POST", "/v1/transit/encrypt/k", kms.token, deep, "127.0.0.1")
    assert reply.status == (200 if depth == 100 else 400)
    assert kms.store.log.size == leaves + 1
    kms.api.flush()
    kms.ok("GET", "sys/mounts")


def _page(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_monitoring_sees_counts_without_a_token_and_nothing_else(tmp_path: Path, start: StartKms) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = start(tmp_path / "served", "--metrics", address)
    assert _page(address, "/healthz") == (503, '{"ok": false, "troubles": {"kms": "sealed"}}')
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    assert _page(address, "/healthz") == (200, '{"ok": true, "troubles": {}}')
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/patient-anna", {})
        with pytest.raises(KmsRefused):
            client.call("GET", "transit/keys/nobody")
        status, shown = _page(address, "/metrics")
    assert status == 200
    for line in (
        "pericard_kms_sealed 0.0",
        'answers_total{status="404"} 1.0',
        "pericard_kms_connections 1.0",
    ):
        assert line in shown
    assert not any(word in shown for word in ("anna", "transit", made["root_token"]))
    # The API's own address shows no counts, with a token or without.
    assert _page(f"127.0.0.1:{process.port}", "/metrics")[0] == 404


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.0.0.5:9000", "9000", '127.0.0.1:1"\nx = "'])
def test_the_pages_are_on_loopback_only(tmp_path: Path, address: str) -> None:
    done = CliRunner().invoke(
        kms_command, ["run", "--data", str(tmp_path), "--insecure-http", "--metrics", address]
    )
    assert (done.exit_code, "give 127.0.0.1:PORT" in done.stderr) == (2, True)


@pytest.mark.slow
def test_tls_1_3_only(tmp_path: Path, start: StartKms) -> None:
    making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    making += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]
    making += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(making, cwd=tmp_path, check=True, capture_output=True)
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    process = start(tmp_path / "served", *files, secure=True)
    with KmsClient(f"https://127.0.0.1:{process.port}", ca=tmp_path / "cert.pem") as client:
        assert client.call("GET", "sys/seal-status")["sealed"] is True
    with (
        KmsClient(f"https://127.0.0.1:{process.port}") as client,
        pytest.raises(KmsUnreachable, match="CERTIFICATE"),
    ):
        client.call("GET", "sys/seal-status")
    old = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", process.port), 5) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture
def postgresql() -> Iterator[str]:
    with postgresql_running() as url:
        yield url


@pytest.mark.slow
def test_postgresql_is_a_store_like_sqlite(postgresql: Any, tmp_path: Path, start: StartKms) -> None:
    process = start(tmp_path / "served", "--database", postgresql)
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        box = client.call("POST", "transit/encrypt/k", {"plaintext": "aGVhcnQ="})["ciphertext"]
        assert client.call("LIST", "transit/keys")["keys"] == ["k"]
    with pytest.raises(Misused, match="another KMS"):
        open_database(tmp_path, postgresql)
    process.kill()
    process.start()
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
        assert client.call("POST", "transit/decrypt/k", {"ciphertext": box})["plaintext"] == "aGVhcnQ="
        size = int(client.call("GET", "sys/audit-log/checkpoint")["checkpoint"].split("\n")[1])
        assert len(list(client.audit_entries(size))) == size
    process.stop()
