"""The demo's story, stage by stage: boards → gateway → hospital → cloud → validated result."""

import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pericard_tools.board.board import VirtualBoard
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import KmsSource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file, shipped_intervals
from pericard_tools.board.repl import raw_repl
from pericard_tools.demo.ceremony import Ceremony
from pericard_tools.demo.parties import Party, StageFailed, pericard, pericard_json
from pericard_tools.demo.wire import Wire
from pericard_tools.demo.world import BEDS, GATEWAY, Bed, World

_SPEED = 15.0  # 300 s of recording in 20 s
_CATCH_UP_SECONDS = 30.0

# Runs on the board. A vitals object of the demo has some 90 bytes.
_TIME_A_SEAL = """
import time
from pericard_node.frame import VITALS, FrameSealer
sealer = FrameSealer(bytes(32), 0, 0, 1)
start = time.ticks_us()
for _ in range(50):
    sealer.seal(VITALS, 90)
print(time.ticks_diff(time.ticks_us(), start) / 50)
"""

Say = Callable[[str], None]


class LineTap:
    """Counts what a board puts on its line: bytes, and frames by their closing 0x00."""

    def __init__(self) -> None:
        self.bytes = self.frames = 0
        self._packet = False

    def __call__(self, data: bytes) -> None:
        """Takes the next bytes."""
        self.bytes += len(data)
        for part in data.split(b"\0")[:-1]:
            self.frames += bool(part) or self._packet
            self._packet = False
        self._packet = bool(data.rpartition(b"\0")[2]) or (self._packet and b"\0" not in data)


@dataclass
class Stage:
    """One stage's cost: wall or processor milliseconds, and the bytes that it handed on."""

    name: str
    milliseconds: float
    bytes: int


@dataclass
class Outcome:
    """What the demo prints."""

    frames: int = 0
    stored: int = 0
    validated: bool = False
    patients: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    saw: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Frames that left a board and are not stored."""
        return self.frames - self.stored

    @property
    def good(self) -> bool:
        """Whether everything that was sent is stored and every statistic is validated."""
        return self.validated and self.lost == 0 and self.frames > 0


def play(say: Say, seconds: float, suite: str) -> Outcome:
    """Runs the whole pipeline in a temporary folder and leaves nothing behind.

    Raises:
        PericardError: a stage failed; its message names the stage and the reason.
    """
    with tempfile.TemporaryDirectory(prefix="pericard-demo-") as folder, ExitStack() as stack:
        world = World(Path(folder))
        say("starting the key management system, its ceremony, the cloud and the hospital")
        tls = [word for end in ("cert", "key") for word in (f"--tls-{end}", str(world.tls(end)))]
        data = str(world.folder / "kms")
        kms = stack.enter_context(
            Party("kms", world.folder, "kms", "run", "--data", data, "--listen", "127.0.0.1:0", *tls)
        )
        keys = Ceremony(kms, world)
        cloud_config = str(world.cloud_config())
        cloud = stack.enter_context(Party("cloud", world.folder, "cloud", "run", "--config", cloud_config))
        to_cloud = stack.enter_context(Wire(cloud.address, world.folder / "hospital-cloud.capture"))
        server_config = str(world.server_config(to_cloud.address, keys.address, suite))
        pinned = _prepare_hospital(world, server_config, keys.server)
        server = stack.enter_context(
            Party("server", world.folder, "server", "run", "--config", server_config, environment=keys.server)
        )
        say(f"flashing and provisioning {len(BEDS)} virtual boards")
        boards = {bed: stack.enter_context(VirtualBoard(world.board(bed))) for bed in BEDS}
        with ThreadPoolExecutor(len(BEDS)) as hands:
            list(hands.map(lambda bed: _flash(bed, boards[bed]), BEDS))
        seal_us = _seal_us(boards[BEDS[0]])
        with keys.officer() as officer:
            for bed in BEDS:
                provision(boards[bed].port, bed.device, bed.patient, bed.age, KmsSource(officer))
                boards[bed].kill()
        say("starting the gateway")
        ports = [board.port for board in boards.values()]
        to_hospital = stack.enter_context(Wire(server.address, world.folder / "ward-hospital.capture"))
        gateway_config = str(
            world.gateway_config(to_hospital.address, keys.address, keys.log_key, ports, pinned)
        )
        gateway = stack.enter_context(
            Party(
                "gateway",
                world.folder,
                "gateway",
                "run",
                "--config",
                gateway_config,
                environment=keys.gateway,
            )
        )
        taps = _run_boards(boards, seconds, say)
        ward = _catch_up(gateway, gateway_config, sum(tap.frames for tap in taps.values()))
        gateway.stop()
        say("analysing blindly in the cloud")
        hospital = pericard_json(
            "hospital", "server", "status", "--config", server_config, environment=keys.server
        )
        report = pericard_json(
            "analysis", "server", "analyse", "--config", server_config, environment=keys.server
        )
        server.stop()
        cloud.stop()
        say("searching every file for a vital sign or a key")
        searched = _search(world)
        wires = {"ward to hospital": to_hospital.bytes, "hospital to cloud": to_cloud.bytes}
        return _outcome(taps, ward, hospital, server.events("stream ended"), report, searched, wires, seal_us)


def _prepare_hospital(world: World, config: str, token: dict[str, str]) -> bytes:
    pericard("hospital", "server", "init", "--config", config, environment=token)
    key = str(world.gateway_public)
    pericard("hospital", "server", "gateway", "add", GATEWAY, key, "--config", config, environment=token)
    for bed in BEDS:
        words = ("server", "patient", "add", bed.patient, "--device", str(bed.device), "--config", config)
        pericard("hospital", *words, environment=token)
    return pericard("hospital", "server", "identity", "--config", config, environment=token).encode()


def _flash(bed: Bed, board: VirtualBoard) -> None:
    # Each patient gets a part of the recording of their own, so that their statistics differ.
    intervals = shipped_intervals()
    part = len(intervals) // len(BEDS)
    start = BEDS.index(bed) * part
    files = firmware_files() | {FLASH_PATH: recording_file(intervals[start : start + part], _SPEED)}
    flash(board.port, files)


def _seal_us(board: VirtualBoard) -> float:
    """Microseconds that the board's own firmware takes to seal a vitals frame, under a key of zeros."""
    with raw_repl(board.port) as transport:
        return float(transport.exec(_TIME_A_SEAL).decode())


def _run_boards(boards: dict[Bed, VirtualBoard], seconds: float, say: Say) -> dict[Bed, LineTap]:
    taps = {bed: LineTap() for bed in boards}
    for bed, board in boards.items():
        board.tap = taps[bed]
        board.power_on()
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        say(f"the boards send: {sum(tap.frames for tap in taps.values())} frames, {left:.0f} s left")
        time.sleep(min(0.5, left))
    for board in boards.values():
        board.kill()
    return taps


def _catch_up(gateway: Party, config: str, sent: int) -> dict[str, Any]:
    """Waits until all that the boards sent is acknowledged; the gateway's counts."""
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while True:
        gateway.check()
        found: dict[str, Any] = pericard_json("gateway", "gateway", "status", "--config", config)
        if found["acked_frames"] >= sent or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def _search(world: World) -> str:
    """Looks for vital signs, device keys and private keys in all files but the boards' own flash."""
    vitals = [bed.sensor_id.encode() for bed in BEDS] + [b"heart_rate_bpm"]
    keys = [key for bed in BEDS for key in world.device_key(bed)]
    forbidden = {form: "a readable vital sign" for one in vitals for form in encodings(one)}
    forbidden |= {form: "a device key" for one in keys for form in encodings(one)}
    files = [path for path in world.folder.rglob("*") if path.is_file() and "boards" not in path.parts]
    content = {path: path.read_bytes() for path in files}
    for path, found in content.items():
        for marker, what in forbidden.items():
            if marker in found:
                raise StageFailed(f"privacy: {path.name} holds {what}")
        if b"PRIVATE KEY" in found and path not in world.short_lived_keys:
            raise StageFailed(f"privacy: {path.name} holds a private key that nobody sealed")
    size = sum(map(len, content.values()))
    return f"{len(files)} files and captures, {size:,} bytes: no vital sign or long-lived key in any"


def encodings(text: bytes) -> list[bytes]:
    """How `text` may stand in a file: as it is, in hex, or in base64 at each of the three alignments."""
    shifted = [(b64encode(bytes(shift) + text), shift) for shift in range(3)]
    whole = [code[4 * bool(shift) : (shift + len(text)) // 3 * 4] for code, shift in shifted]
    return [text, text.hex().encode(), *whole]


def _outcome(
    taps: dict[Bed, LineTap],
    ward: dict[str, Any],
    hospital: dict[str, Any],
    ingested: list[dict[str, Any]],
    report: dict[str, Any],
    searched: str,
    wires: dict[str, int],
    seal_us: float,
) -> Outcome:
    analysed = {row["patient"]: row for row in report["patients"]}
    outcome = Outcome(frames=sum(tap.frames for tap in taps.values()), stored=hospital["stored"])
    for bed, tap in taps.items():
        device, row = str(bed.device), analysed.get(bed.patient)
        stored = hospital["devices"].get(device, 0)
        if row is None or row["fhe"]["count"] != stored:
            raise StageFailed(f"analysis: {bed.patient}'s report does not cover the {stored} stored readings")
        outcome.patients.append(
            {
                "patient": bed.patient,
                "device": bed.device,
                "sent": tap.frames,
                "received": ward["devices"].get(device, {}).get("accepted", 0),
                "stored": stored,
                "lost": tap.frames - stored,
                "mean_blind": row["fhe"]["mean"],
                "mean_clear": row["clear"]["mean"],
                "mean_difference": row["mean_difference"],
                "sd_blind": row["fhe"]["standard_deviation"],
                "sd_clear": row["clear"]["standard_deviation"],
                "sd_difference": row["standard_deviation_difference"],
            }
        )
    # `analyse` fails when a result is wrong: a report that lists every patient is a validated one.
    outcome.validated = bool(report["validated"])
    line = sum(tap.bytes for tap in taps.values())
    stage_ms = ward["stage_ms"]
    outcome.stages = [
        Stage("device: seal (emulated)", outcome.frames * seal_us / 1e3, line),
        Stage("gateway: open device frames", stage_ms["open"], ward["bytes_in"]),
        Stage("gateway: seal for the hospital", stage_ms["seal"], ward["bytes_out"]),
        Stage("gateway: spool", stage_ms["spool"], ward["bytes_out"]),
        Stage("hospital: open records", _sum(ingested, "open_ms"), _sum(ingested, "bytes")),
        Stage("hospital: seal and store", _sum(ingested, "commit_ms"), _sum(ingested, "bytes")),
        Stage("hospital: encrypt for the cloud", report["encrypt_ms"], report["bytes_up"]),
        Stage("cloud: compute blindly", report["compute_ms"], report["bytes_down"]),
        Stage("hospital: decrypt", report["decrypt_ms"], report["bytes_down"]),
        Stage("hospital: validate", report["validate_ms"], 0),
    ]
    sealed_up = f"{report['ciphertexts']} CKKS ciphertext(s) ({report['bytes_up']:,} bytes)"
    outcome.saw = {
        "the line": f"{line:,} bytes of ChaCha20-Poly1305 frames: device, epoch and counters are readable",
        "the gateway": f"{ward['acked_frames']} vitals, in memory only; its disk held sealed records",
        "the network": ", ".join(f"{name} {size:,} bytes" for name, size in wires.items()) + ", all TLS 1.3",
        "the hospital": f"every reading when opened; its database holds {hospital['stored']} sealed rows",
        "the KMS": "keys only; it lends device keys to the gateway and opens sessions for the hospital",
        "the cloud": f"{sealed_up} and no secret key",
        "the disks": searched,
    }
    return outcome


def _sum(events: list[dict[str, Any]], name: str) -> Any:
    return sum(event[name] for event in events)
