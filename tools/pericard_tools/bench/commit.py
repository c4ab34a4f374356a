"""How long a frame takes from its last byte on the serial line to the hospital's commit.

The real `pericard gateway run` and `pericard server run` are processes of their own, joined by gRPC over TLS
on loopback, with their keys in folders. A pseudo-terminal is the serial line. When a frame was committed is
seen in the hospital's database, which is looked at every millisecond: so a figure is right to about that.
"""

import json
import os
import pty
import sqlite3
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pericard_protocol.device.stream import encode_packet
from pericard_tools.bench.load import SealedLoad, index_of
from pericard_tools.bench.shape import percentiles
from pericard_tools.demo.world import GATEWAY, World
from pericard_tools.parties import Party, pericard

RATES = (10, 1000, 10_000)  # frames a second
_LOOK_SECONDS = 0.001
_BURST_SECONDS = (
    0.001  # sleeping for less is not worth it: at 10,000 a second, ten frames are written at once
)
_PATIENCE_SECONDS = 30.0
_TOO_SLOW = 0.9  # a line that took less than this part of the rate measured another rate

_SERVER = """
[listen]
address = "127.0.0.1:0"

[tls]
certificate = "hospital.pem"
key = "hospital.key"
ca = "ca.pem"

[keys]
"""

_GATEWAY = """
gateway_id = "{gateway}"
state = "gateway"
devices = "devices.json"
identity = "{gateway}.identity.pem"
pinned = "hospital.identity.pem"

[[ports]]
path = "{port}"

[server]
address = "{server}"
name = "hospital"

[tls]
certificate = "{gateway}.pem"
key = "{gateway}.key"
ca = "ca.pem"
"""


def commit_latencies(quick: bool) -> dict[str, dict[str, Any]]:
    """`commit_p50_ms` and `commit_p99_ms` by rate, each null with a `why` where it cannot be measured."""
    found: dict[str, dict[str, Any]] = {"commit_p50_ms": {}, "commit_p99_ms": {}}
    if find_spec("pericard_server") is None:
        nothing = dict.fromkeys(map(str, RATES)) | {"why": "pericard-server is not installed"}
        return {name: dict(nothing) for name in found}
    # Long enough that 1 % of the frames are some, but for --quick, whose 99th percentile is a rough one.
    counts = {10: 30, 1000: 2000, 10_000: 10_000} if quick else {10: 300, 1000: 10_000, 10_000: 60_000}
    load, first, why = SealedLoad(sum(counts.values())), 0, []
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as folder, ExitStack() as stack:
        line, database = stack.enter_context(_pipeline(World(Path(folder)), load))
        for rate in RATES:
            last = first + counts[rate]
            latencies, fault = _latencies(line, database, load, range(first, last), rate)
            p50, p99 = percentiles(latencies) if latencies else (None, None)
            found["commit_p50_ms"][str(rate)], found["commit_p99_ms"][str(rate)] = p50, p99
            why += [fault] if fault else []
            first = last
    return {name: rates | ({"why": "; ".join(why)} if why else {}) for name, rates in found.items()}


@contextmanager
def _pipeline(world: World, load: SealedLoad) -> Iterator[tuple[int, sqlite3.Connection]]:
    """Runs gateway and hospital; the line's near end, and the hospital's database to look at."""
    folder = world.folder
    devices = [
        {"device": number, "epoch": 0, "key": key.hex(), "owner": "bench"}
        for number, key in load.keys.items()
    ]
    registry = folder / "devices.json"
    registry.touch(mode=0o600)
    registry.write_text(json.dumps({"devices": devices}))
    config = folder / "server.toml"
    config.write_text(_SERVER)
    of_server = ("--config", str(config))
    pericard("hospital", "server", "init", *of_server)
    pericard("hospital", "server", "gateway", "add", GATEWAY, str(world.gateway_public), *of_server)
    pinned = pericard("hospital", "server", "identity", *of_server)
    (folder / "hospital.identity.pem").write_text(pinned)
    line, far = pty.openpty()
    tty.setraw(far)
    try:
        with Party("server", folder, "server", "run", *of_server) as server:
            (folder / "gateway.toml").write_text(
                _GATEWAY.format(gateway=GATEWAY, port=os.ttyname(far), server=server.address)
            )
            of_gateway = ("--config", str(folder / "gateway.toml"))
            with (
                Party("gateway", folder, "gateway", "run", *of_gateway),
                closing(sqlite3.connect(f"file:{folder}/records.db?mode=ro", uri=True)) as database,
            ):
                yield line, database
    finally:
        os.close(line)
        os.close(far)


def _latencies(
    line: int, database: sqlite3.Connection, load: SealedLoad, indices: range, rate: int
) -> tuple[list[float], str]:
    """Milliseconds of each frame, or none and why."""
    written: dict[int, float] = {}
    committed: dict[int, float] = {}
    begin = time.perf_counter()

    def write() -> None:
        for at, index in enumerate(indices):
            if (early := begin + at / rate - time.perf_counter()) > _BURST_SECONDS:
                time.sleep(early)
            os.write(line, encode_packet(load.frames[index]))
            written[index] = time.perf_counter()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    deadline = begin + len(indices) / rate + _PATIENCE_SECONDS
    (seen,) = database.execute("SELECT coalesce(max(id), 0) FROM records_reading").fetchone()
    version = None
    while len(committed) < len(indices):
        now = time.perf_counter()
        if now > deadline:
            return [], f"at {rate} frames/s {len(committed)} of {len(indices)} were committed in time"
        (latest,) = database.execute("PRAGMA data_version").fetchone()
        if latest == version:
            time.sleep(_LOOK_SECONDS)
            continue
        version = latest
        rows = database.execute(
            "SELECT id, device, seq FROM records_reading WHERE id > ?", (seen,)
        ).fetchall()
        now = time.perf_counter()
        for seen, device, seq in rows:  # noqa: B007 - the last one's id is where the next look begins
            committed[index_of(device, seq)] = now
    writer.join()
    took = written[indices[-1]] - begin
    if len(indices) / rate < _TOO_SLOW * took:
        return [], f"the line took {len(indices) / took:.0f} frames/s where {rate} were offered"
    return [(committed[index] - at) * 1e3 for index, at in written.items()], ""
