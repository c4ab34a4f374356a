"""`pericard bench gateway`: what a frame costs here, against the bare primitives, in one run.

The floor is ChaCha20-Poly1305 open, `json.loads` and AES-256-GCM seal of the same frames in batches of 256:
no framing, no registry, no window, no session, no disk. The gateway's cost is all processor time of this
process while frames go through link, intake, session and spool as in `pericard gateway run`; the disk's own
time is in `frames_per_s`, which is by the wall clock. What the figures by rate are, `commit` says.
"""

import asyncio
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pericard_gateway.devices.link import Link
from pericard_gateway.devices.registry import Device, Registry
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.serial import READ_BYTES
from pericard_gateway.uplink.intake import BATCH_FRAMES, Intake
from pericard_gateway.uplink.outbox import Outbox
from pericard_gateway.uplink.sealing import RecordSealer
from pericard_gateway.uplink.spool import Spool
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.stream import encode_packet
from pericard_protocol.proto.uplink_pb2 import KeyBundle, Sealed
from pericard_protocol.uplink.bundle import sign_bundle
from pericard_protocol.uplink.suites import DEFAULT_SUITE, SUITES
from pericard_tools.bench.commit import commit_latencies
from pericard_tools.bench.load import SealedLoad
from pericard_tools.bench.shape import Measured, benchmark, by_turns, median_ratio


@benchmark("gateway", "cryptography", "protobuf", "jiter")
def gateway(quick: bool) -> Measured:
    """Time frames on their way through the gateway, against the bare primitives in the same run."""
    frames, runs = (BATCH_FRAMES * 40, 3) if quick else (BATCH_FRAMES * 200, 7)
    load = SealedLoad(frames)
    stream = b"".join(map(encode_packet, load.frames))
    found = by_turns("gateway", runs, {"floor": lambda: _floor(load), "cost": lambda: _cost(load, stream)})
    floors, costs = ([one.processor for one in found[side]] for side in ("floor", "cost"))
    figures = {
        "frames": frames,
        "frame_bytes": len(load.frames[0]),
        "frames_per_s": round(frames / statistics.median(one.wall for one in found["cost"])),
        "floor_frames_per_s": round(frames / statistics.median(floors)),
        "ratio": median_ratio(costs, floors),
        "cpu_us_per_frame": round(statistics.median(costs) / frames * 1e6, 2),
        "floor_us_per_frame": round(statistics.median(floors) / frames * 1e6, 2),
        "wire_bytes_per_frame": round(statistics.median(one.wire_bytes for one in found["cost"]), 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    return Measured(runs, figures | commit_latencies(quick))


class _Run(NamedTuple):
    """Seconds of one run over all frames, and the bytes that a frame takes on the wire."""

    processor: float
    wall: float
    wire_bytes: float


def _floor(load: SealedLoad) -> _Run:
    """The bare primitives; nothing goes on a wire."""
    sealer = AESGCM(os.urandom(KEY_BYTES))
    wall, processor = time.perf_counter(), time.process_time()
    for start in range(0, len(load.frames), BATCH_FRAMES):
        opened = []
        for frame in load.frames[start : start + BATCH_FRAMES]:
            cipher = load.ciphers[int.from_bytes(frame[4:8], "big")]
            payload = cipher.decrypt(frame[4:16], frame[16:], frame[:16])
            json.loads(payload)
            opened.append(payload)
        sealer.encrypt(start.to_bytes(12, "big"), b"".join(opened), b"\0" * 24)
    return _Run(time.process_time() - processor, time.perf_counter() - wall, 0.0)


def _cost(load: SealedLoad, stream: bytes) -> _Run:
    """The gateway's own parts, from the bytes of the serial line to records in the spool."""
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as folder:
        return asyncio.run(_through(load, stream, Path(folder)))


async def _through(load: SealedLoad, stream: bytes, folder: Path) -> _Run:
    registry = Registry({number: Device(key, 0) for number, key in load.keys.items()})
    counts = GatewayCounts()
    with Spool(folder) as spool:
        outbox = Outbox(spool, _sealer(), counts, folder / "bundle.pb")
        intake = Intake(registry, outbox, 1 << 40)
        running = asyncio.create_task(intake.run())
        link = Link(registry, counts)
        wall, processor = time.perf_counter(), time.process_time()
        for start in range(0, len(stream), READ_BYTES):
            await intake.room.wait()
            opened, rejected = link.feed(stream[start : start + READ_BYTES], 1_700_000_000_000_000)
            for error in rejected:
                raise error
            intake.add(opened)
            await asyncio.sleep(0)  # a port gives the loop a turn after every read
        intake.finish()
        await running
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        waiting = await outbox.waiting_after(0, len(load.frames))
        headers = {one.record.session_id for one in waiting}
        sent = sum(Sealed(record=one.record).ByteSize() for one in waiting)
        sent += sum([Sealed(session=await outbox.session_header(one)).ByteSize() for one in headers])
        outbox.close()
    return _Run(processor, wall, sent / len(load.frames))


def _sealer() -> RecordSealer:
    hospital, now = MLDSA65PrivateKey.generate(), int(time.time())
    sealer = RecordSealer("bench", MLDSA65PrivateKey.generate(), hospital.public_key(), SUITES)
    bundle = KeyBundle(
        key_id="bench",
        suite=DEFAULT_SUITE.id,
        public_key=DEFAULT_SUITE.generate()[1],
        not_before=now - 1,
        not_after=now + 3600,
    )
    sealer.adopt_bundle(sign_bundle(bundle, hospital), now)
    return sealer
