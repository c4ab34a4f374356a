"""The demo's story, stage by stage: boards → gateway → hospital → cloud → validated result."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import KmsSource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file, shipped_intervals
from pericard_tools.board.repl import raw_repl
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.demo.ceremony import Ceremony
from pericard_tools.demo.outcome import Outcome, outcome_of
from pericard_tools.demo.search import search_files
from pericard_tools.demo.wire import LineTap, Wire
from pericard_tools.demo.world import BEDS, GATEWAY, Bed, World
from pericard_tools.parties import Party, pericard, pericard_json

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

# About how long each stage takes on two cores, beside the sending: the progress bar goes by it.
_START_SECONDS, _BOARDS_SECONDS, _GATEWAY_SECONDS, _ANALYSIS_SECONDS, _SEARCH_SECONDS = 30, 9, 4, 8, 1

# Is told what happens now, and how much of the whole is done by then, from 0 to 1.
Tell = Callable[[str, float], None]


def play(tell: Tell, seconds: float, suite: str) -> Outcome:
    """Runs the whole pipeline in a temporary folder and leaves nothing behind.

    Args:
        tell: see `Tell`.
        seconds: how long the boards send.
        suite: how the hospital seals what it stores.

    Raises:
        PericardError: a stage failed; its message names the stage and the reason.
    """
    with tempfile.TemporaryDirectory(prefix="pericard-demo-") as folder, ExitStack() as stack:
        world = World(Path(folder))
        sending = _START_SECONDS + _BOARDS_SECONDS + _GATEWAY_SECONDS
        whole = sending + seconds + _ANALYSIS_SECONDS + _SEARCH_SECONDS
        tell("starting the key management system, its ceremony, the cloud and the hospital", 0)
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
        tell(f"flashing and provisioning {len(BEDS)} virtual boards", _START_SECONDS / whole)
        boards = {bed: stack.enter_context(VirtualBoard(world.board(bed))) for bed in BEDS}
        with ThreadPoolExecutor(len(BEDS)) as hands:
            list(hands.map(lambda bed: _flash(bed, boards[bed]), BEDS))
        seal_us = _seal_us(boards[BEDS[0]])
        with keys.officer() as officer:
            for bed in BEDS:
                provision(boards[bed].port, bed.device, bed.patient, bed.age, KmsSource(officer))
                boards[bed].kill()
        tell("starting the gateway", (_START_SECONDS + _BOARDS_SECONDS) / whole)
        ports = [board.port for board in boards.values()]
        to_hospital = stack.enter_context(Wire(server.address, world.folder / "ward-hospital.capture"))
        gateway_config = str(
            world.gateway_config(to_hospital.address, keys.address, keys.log_key, ports, pinned)
        )
        words = ("gateway", "run", "--config", gateway_config)
        gateway = stack.enter_context(Party("gateway", world.folder, *words, environment=keys.gateway))
        taps = _run_boards(boards, seconds, lambda what, sent: tell(what, (sending + sent) / whole))
        ward = _catch_up(gateway, gateway_config, sum(tap.frames for tap in taps.values()))
        gateway.stop()
        tell("analysing blindly in the cloud", (sending + seconds) / whole)
        hospital = pericard_json(
            "hospital", "server", "status", "--config", server_config, environment=keys.server
        )
        report = pericard_json(
            "analysis", "server", "analyse", "--config", server_config, environment=keys.server
        )
        server.stop()
        cloud.stop()
        tell("searching every file for a vital sign or a key", 1 - _SEARCH_SECONDS / whole)
        searched = search_files(world)
        wires = {"ward to hospital": to_hospital.bytes, "hospital to cloud": to_cloud.bytes}
        ingested = server.events("stream ended")
        return outcome_of(taps, ward, hospital, ingested, report, searched, wires, seal_us)


def _prepare_hospital(world: World, config: str, token: dict[str, str]) -> bytes:
    """Makes the hospital's keys and database, with the gateway and the patients; its identity key (PEM)."""
    pericard("hospital", "server", "init", "--config", config, environment=token)
    key = str(world.gateway_public)
    pericard("hospital", "server", "gateway", "add", GATEWAY, key, "--config", config, environment=token)
    for bed in BEDS:
        words = ("server", "patient", "add", bed.patient, "--device", str(bed.device), "--config", config)
        pericard("hospital", *words, environment=token)
    return pericard("hospital", "server", "identity", "--config", config, environment=token).encode()


def _flash(bed: Bed, board: VirtualBoard) -> None:
    """Puts the firmware and the bed's own heart on its board."""
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


def _run_boards(boards: dict[Bed, VirtualBoard], seconds: float, tell: Tell) -> dict[Bed, LineTap]:
    """Gives the boards power for so long; `tell` is told for how many seconds they have had it."""
    taps = {bed: LineTap() for bed in boards}
    for bed, board in boards.items():
        board.tap = taps[bed]
        board.power_on()
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        frames = sum(tap.frames for tap in taps.values())
        tell(f"the boards send: {frames} frames, {left:.0f} s left", seconds - left)
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
