"""A flashed and provisioned virtual board, its port, and its frames opened by `cryptography`."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import serial
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_protocol.device.frame import Frame, Header, open_frame
from pericard_protocol.device.stream import StreamDecoder
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file
from pericard_tools.board.virtual import VirtualBoard

BIN = Path(sys.executable).parent
DEVICE = 7
# Three good beats, one that no heart made, one good one: bpm 60, 100, 120, (15), 80.
INTERVALS = [1000, 600, 500, 4000, 750]


class ReadyBoard(NamedTuple):
    """A board that runs, and what the gateway would know of it."""

    board: VirtualBoard
    registry: Path

    def cipher(self) -> ChaCha20Poly1305:
        (entry,) = json.loads(self.registry.read_bytes())["devices"]
        return ChaCha20Poly1305(bytes.fromhex(entry["key"]))


def mpremote(port: str, *arguments: str) -> str:
    """What the real mpremote prints; it must succeed."""
    run = subprocess.run(
        [BIN / "mpremote", "connect", port, *arguments], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def read_frames(port: str, count: int, *, reset: VirtualBoard | None = None) -> list[Frame]:
    """The first `count` frames of a start: the one under way, or the one after the board is reset."""
    decoder = StreamDecoder()
    frames: list[Frame] = []
    with serial.Serial(port, timeout=0.5) as link:
        if reset is not None:
            reset.reset()
        end = time.monotonic() + 60
        while len(frames) < count:
            assert time.monotonic() < end, f"{len(frames)} of {count} frames came"
            frames += [found for found in decoder.feed(link.read(64)) if isinstance(found, Frame)]
            frames = [frame for frame in frames if frame.header.boot == frames[-1].header.boot]
    return frames[:count]


def opened(ready: ReadyBoard, frames: list[Frame]) -> list[tuple[Header, dict[str, Any]]]:
    cipher = ready.cipher()
    return [(frame.header, json.loads(open_frame(cipher, frame))) for frame in frames]


@contextmanager
def quiet_board(folder: Path, update_key: bytes | None = None, **settings: object) -> Iterator[ReadyBoard]:
    """A board ready to run, without power; with `settings` in its config.py."""
    (folder / "board").mkdir()
    registry = folder / "devices.json"
    lines = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    with VirtualBoard(folder / "board", radio=settings.get("LINK") == "ble") as board:
        files = {FLASH_PATH: recording_file(INTERVALS, speed=50), "/config.py": lines.encode()}
        flash(board.port, firmware_files() | files)
        provision(board.port, DEVICE, "bed 4", 61, RegistrySource(registry), update_key)
        board.kill()
        assert board.off.wait(60)
        yield ReadyBoard(board, registry)


@contextmanager
def wireless_board(folder: Path) -> Iterator[ReadyBoard]:
    """A board whose link is BLE, without power."""
    with quiet_board(folder, LINK="ble") as ready:
        yield ready
