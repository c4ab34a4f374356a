"""Whenever the power fails, no nonce is used twice under a key, and the board sends again when it is back."""

import json
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from tests.parts.board import DEVICE, ReadyBoard, mpremote
from tests.parts.waiting import until

from pericard_protocol.device.frame import Frame, open_frame
from pericard_protocol.device.ratchet import advance
from pericard_protocol.device.stream import StreamDecoder
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file
from pericard_tools.board.virtual import VirtualBoard

pytestmark = pytest.mark.slow  # boards start, and wait as boards do

KEYSTORE = "/pericard_node/keystore.py"
EPOCH_FRAMES = 3
CUTS = int(os.environ.get("PERICARD_CUTS", "300"))


class Line:
    """All that ever left a board: frames, of which each opens under its epoch's key."""

    def __init__(self, first_key: bytes) -> None:
        self._decoder = StreamDecoder()
        self._ciphers: dict[int, ChaCha20Poly1305] = {}
        self._key = first_key
        self.frames = 0
        self.epoch = 0
        self.nonces: set[tuple[int, bytes]] = set()

    def __call__(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if isinstance(frame, Frame):
                open_frame(self._cipher(frame.header.epoch), frame)
                assert frame.header.device == DEVICE
                self.frames += 1
                self.nonces.add((frame.header.epoch, frame.associated_data[4:16]))

    def cut(self) -> None:
        """The power failed: what was under way is no frame."""
        self._decoder = StreamDecoder()

    def _cipher(self, epoch: int) -> ChaCha20Poly1305:
        while self.epoch <= epoch:
            self._ciphers[self.epoch] = ChaCha20Poly1305(self._key)
            self._key = advance(self._key, self.epoch, self.epoch + 1)
            self.epoch += 1
        return self._ciphers[epoch]


@pytest.fixture
def restless(board: VirtualBoard, tmp_path: Path) -> Iterator[tuple[VirtualBoard, Line]]:
    """A board without power that writes its flash all the time: a new epoch after every third frame."""
    files = firmware_files() | {FLASH_PATH: recording_file([1000], speed=1000)}
    source = files[KEYSTORE]
    files[KEYSTORE] = source.replace(b"EPOCH_FRAMES = 1 << 20", b"EPOCH_FRAMES = %d" % EPOCH_FRAMES)
    assert files[KEYSTORE] != source
    flash(board.port, files, compiled=True)
    registry = tmp_path / "devices.json"
    provision(board.port, DEVICE, "bed 4", 61, RegistrySource(registry))
    board.kill()
    assert board.off.wait(60)
    (entry,) = json.loads(registry.read_bytes())["devices"]
    # What provisioning's last reset let it send is thrown away: its boot number is used up.
    board.tap = line = Line(bytes.fromhex(entry["key"]))
    ended = threading.Event()
    reader = threading.Thread(target=drain, args=(board.port, ended))
    reader.start()
    yield board, line
    ended.set()
    reader.join()


def drain(port: str, ended: threading.Event) -> None:
    """Somebody reads the port, or the board would wait in its write."""
    with serial.Serial(port, timeout=0.1) as link:
        while not ended.is_set():
            link.read(4096)


def more_than(frames: int, line: Line) -> Callable[[], bool]:
    """Whether the line has carried more by now."""
    return lambda: line.frames > frames


def test_at_every_change_of_the_flash(restless: tuple[VirtualBoard, Line]) -> None:
    board, line = restless
    for instant in range(1, 20):
        board.power_on(cut_at=instant)
        assert board.off.wait(60), "the power did not fail: the board writes less than this test believes"
        line.cut()
        before = line.frames
        board.power_on()
        until(more_than(before + EPOCH_FRAMES, line))
        board.kill()
        assert board.off.wait(60)
        line.cut()
    assert len(line.nonces) == line.frames
    assert line.epoch > 19


@pytest.mark.timeout(600)
def test_at_random_moments(restless: tuple[VirtualBoard, Line]) -> None:
    board, line = restless
    dice = random.Random(3)  # noqa: S311
    for number in range(CUTS):
        board.power_on()
        if number % 50 == 0:  # how long a start takes on this machine, busy as it is now
            before, began = line.frames, time.monotonic()
            until(more_than(before, line))
            start = time.monotonic() - began
        else:  # from the VM's first instructions to some epochs later
            time.sleep(dice.uniform(0.3, 1.7) * start)
        board.kill()
        assert board.off.wait(60)
        line.cut()
    assert len(line.nonces) == line.frames
    assert line.frames > CUTS // 10


def test_what_a_board_writes_is_its_owners_alone(ready: ReadyBoard) -> None:
    for record in ("keystore.bin", "boot.bin"):
        assert stat.S_IMODE((ready.board.flash / record).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"\0" * 36, b"x"], ids=["empty", "zeros", "cut"])
@pytest.mark.parametrize("record", ["boot.bin", "keystore.bin"])
def test_a_damaged_record_stops_transmission(ready: ReadyBoard, record: str, damage: bytes) -> None:
    path = ready.board.flash / record
    path.write_bytes(path.read_bytes()[:-1] if damage == b"x" else damage)
    assert "needs provisioning" in silent_start(ready)


def test_a_counter_at_its_end_stops_transmission(ready: ReadyBoard) -> None:
    mpremote(
        ready.board.port, "exec", "from pericard_node import flash; flash.write('/boot.bin', b'\\xff' * 4)"
    )
    assert "boot counter: used up" in silent_start(ready)


def silent_start(ready: ReadyBoard) -> str:
    """What the board says when it starts, which is no frame."""
    with serial.Serial(ready.board.port, timeout=60) as link:
        ready.board.reset()
        link.read_until(b"pericard: ")
        said: bytes = link.read_until(b">>> ")
    assert not [found for found in StreamDecoder().feed(said) if isinstance(found, Frame)]
    return said.decode()
