"""`pericard bench gateway`: what a frame costs here, against the bare primitives, in one run.

The floor is ChaCha20-Poly1305 open, `json.loads` and AES-256-GCM seal of the same frames in batches of 256:
no framing, no registry, no window, no session, no disk. The gateway's cost is all processor time of the
process while frames go through link, intake, session and spool as in `pericard gateway run`; the disk's own
time is in `frames_per_s`, which is by the wall clock.
"""

import asyncio
import json
import os
import pty
import resource
import statistics
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from pericard_gateway.devices.link import Link
from pericard_gateway.devices.registry import Device, Registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.operations.counters import Counters
from pericard_gateway.ports.serial import READ_BYTES, SerialPort
from pericard_gateway.settings import Port
from pericard_gateway.uplink.intake import BATCH_FRAMES, Intake
from pericard_gateway.uplink.sealing import Sealing
from pericard_gateway.uplink.spool import Spool
from pericard_gateway.uplink.store import Store
from pericard_protocol.device.frame import KEY_BYTES, FrameType, Header, seal_frame
from pericard_protocol.device.stream import encode
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, Sealed
from pericard_protocol.uplink.bundle import sign_bundle
from pericard_protocol.uplink.suites import DEFAULT_SUITE
from pericard_tools.bench.machine import machine

DEVICES = 32
RATE = 1000  # frames a second while latency is measured


class _Load:
    """Sealed frames of some devices, and their keys."""

    def __init__(self, frames: int) -> None:
        self.keys = {number: os.urandom(KEY_BYTES) for number in range(1, DEVICES + 1)}
        self.ciphers = {number: ChaCha20Poly1305(key) for number, key in self.keys.items()}
        self.frames = [self._frame(index) for index in range(frames)]
        self.stream = b"".join(map(encode, self.frames))

    def _frame(self, index: int) -> bytes:
        device = 1 + index % DEVICES
        payload = {
            "age": 70,
            "heart_rate_bpm": 55 + index % 40 + 0.5,
            "sensor_id": f"ecg-{device:08x}",
            "timestamp": 1_700_000_000 + index,
        }
        header = Header(FrameType.VITALS, 0, device, 1, index // DEVICES)
        return seal_frame(self.ciphers[device], header, json.dumps(payload).encode())

    def registry(self) -> Registry:
        return Registry({number: Device(key, 0) for number, key in self.keys.items()})

    def floor(self) -> float:
        """Processor seconds of the bare primitives for all frames."""
        sealer = AESGCM(os.urandom(KEY_BYTES))
        began = time.process_time()
        for start in range(0, len(self.frames), BATCH_FRAMES):
            opened = []
            for frame in self.frames[start : start + BATCH_FRAMES]:
                cipher = self.ciphers[int.from_bytes(frame[4:8], "big")]
                payload = cipher.decrypt(frame[4:16], frame[16:], frame[:16])
                json.loads(payload)
                opened.append(payload)
            sealer.encrypt(start.to_bytes(12, "big"), b"".join(opened), b"\0" * 24)
        return time.process_time() - began


class _Timed(Store):
    """Notes when each frame was committed, by its place in the load."""

    committed: dict[int, float]

    async def keep(self, frames: Iterable[OpenedFrame], marks: Mapping[int, Mark]) -> None:
        kept = list(frames)
        await super().keep(kept, marks)
        now = time.perf_counter()
        self.committed.update((frame.seq * DEVICES + frame.device - 1, now) for frame in kept)


def _sealing() -> Sealing:
    hospital, now = MLDSA65PrivateKey.generate(), int(time.time())
    sealing = Sealing("bench", MLDSA65PrivateKey.generate(), hospital.public_key())
    bundle = KeyBundle(
        key_id="bench",
        suite=DEFAULT_SUITE.id,
        public_key=DEFAULT_SUITE.generate()[1],
        not_before=now - 1,
        not_after=now + 3600,
    )
    sealing.adopt(sign_bundle(bundle, hospital), now)
    return sealing


async def _through(load: _Load, folder: Path) -> tuple[float, float, float]:
    """Wall and processor seconds for all frames, and bytes on the wire a frame."""
    registry, counters = load.registry(), Counters()
    with Spool(folder) as spool:
        store = Store(spool, _sealing(), counters, folder / "bundle.pb")
        intake = Intake(registry, store, 1 << 40)
        running = asyncio.create_task(intake.run())
        link = Link(registry, counters)
        wall, processor = time.perf_counter(), time.process_time()
        for start in range(0, len(load.stream), READ_BYTES):
            await intake.room.wait()
            opened, rejected = link.feed(load.stream[start : start + READ_BYTES], 1_700_000_000_000_000)
            for error in rejected:
                raise error
            intake.add(opened)
            await asyncio.sleep(0)  # a port gives the loop a turn after every read
        intake.end()
        await running
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        waiting = await store.after(0, len(load.frames))
        headers = {one.record.session_id for one in waiting}
        sent = sum(Sealed(record=one.record).ByteSize() for one in waiting)
        sent += sum([Sealed(session=await store.header(one)).ByteSize() for one in headers])
        store.close()
    return wall, processor, sent / len(load.frames)


async def _latencies(load: _Load, folder: Path) -> list[float]:
    """Milliseconds from a frame's last byte on the serial line to its commit, at 1,000 frames a second."""
    registry, counters = load.registry(), Counters()
    master, slave = pty.openpty()
    tty.setraw(slave)
    written: list[float] = []
    with Spool(folder) as spool:
        store = _Timed(spool, _sealing(), counters, folder / "bundle.pb")
        store.committed = {}
        intake = Intake(registry, store, 1 << 40)
        link = Link(registry, counters)

        def take(data: bytes) -> None:
            if opened := link.feed(data, time.time_ns() // 1000)[0]:
                intake.add(opened)

        port = SerialPort(Port(path=Path(os.ttyname(slave))), lambda: take, intake.room, counters)
        reading, storing = asyncio.create_task(port.run()), asyncio.create_task(intake.run())
        await port.tried.wait()

        def write() -> None:
            began = time.perf_counter()
            for index, frame in enumerate(load.frames):
                time.sleep(max(0.0, began + index / RATE - time.perf_counter()))
                written.append(time.perf_counter())
                os.write(master, encode(frame))

        writer = threading.Thread(target=write)
        writer.start()
        await asyncio.get_running_loop().run_in_executor(None, writer.join)
        while len(store.committed) < len(load.frames):
            await intake.stored.wait()
            intake.stored.clear()
        reading.cancel()
        intake.end()
        await asyncio.gather(reading, storing, return_exceptions=True)
        port.drain()
        store.close()
    os.close(master)
    os.close(slave)
    return [(store.committed[index] - at) * 1e3 for index, at in enumerate(written)]


def measure(frames: int, runs: int, seconds: float) -> dict[str, object]:
    """All figures; medians over `runs`."""
    load = _Load(frames)
    floors: list[float] = []
    walls: list[float] = []
    costs: list[float] = []
    wire = 0.0
    with click.progressbar(range(runs), label="gateway", file=sys.stderr) as bar:
        for _ in bar:
            # By turns, so that a change of the processor's speed meets both.
            floors.append(load.floor())
            with tempfile.TemporaryDirectory() as folder:
                wall, cost, wire = asyncio.run(_through(load, Path(folder)))
            walls.append(wall)
            costs.append(cost)
    with tempfile.TemporaryDirectory() as folder:
        latencies = asyncio.run(_latencies(_Load(int(RATE * seconds)), Path(folder)))
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "name": "gateway",
        "machine": machine("cryptography", "protobuf", "jiter"),
        "runs": runs,
        "frames": frames,
        "frame_bytes": len(load.frames[0]),
        "frames_per_s": round(frames / statistics.median(walls)),
        "cpu_us_per_frame": round(statistics.median(costs) / frames * 1e6, 2),
        "floor_us_per_frame": round(statistics.median(floors) / frames * 1e6, 2),
        "floor_frames_per_s": round(frames / statistics.median(floors)),
        "ratio": round(statistics.median(cost / floor for cost, floor in zip(costs, floors, strict=True)), 2),
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "wire_bytes_per_frame": round(wire, 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


@click.command("gateway")
@click.option("--quick", is_flag=True, help="Fewer frames and runs: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(quick: bool, as_json: bool) -> None:
    """Frames a second through the gateway, against the bare primitives in the same run."""
    figures = measure(256 * 40, 3, 3) if quick else measure(256 * 200, 7, 10)
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:22} {value}")
