"""Updates over the link: signed, whole or not at all, never back; a power cut at any change does no harm."""

import hashlib
import json
import os
import re
import subprocess
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.parts.board import BIN, DEVICE, INTERVALS, ReadyBoard, read_frames

from pericard_protocol.device.frame import Frame, FrameType, open_frame
from pericard_protocol.device.stream import StreamDecoder
from pericard_protocol.device.update import UpdateError, build, parse_update
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file
from pericard_tools.board.update import load_key, load_public_key, send
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BadArgument, BoardError

pytestmark = pytest.mark.slow  # boards start, and wait as boards do

HARDWARE = Path(__file__).parents[2] / "hardware.md"
KEY = Ed25519PrivateKey.generate()
NEW = {"/pericard_node/news.py": b"# new\n" * 100, "/main.py": firmware_files()["/main.py"] + b"# newer\n"}


@pytest.fixture
def updatable(board: VirtualBoard, tmp_path: Path) -> ReadyBoard:
    """A node that takes KEY's updates and tells its version every second."""
    registry = tmp_path / "devices.json"
    settings = {"/config.py": b"STATUS_SECONDS = 1\n", FLASH_PATH: recording_file(INTERVALS, speed=50)}
    flash(board.port, firmware_files() | settings)
    provision(
        board.port,
        DEVICE,
        "bed 4",
        61,
        RegistrySource(registry),
        update_key=KEY.public_key().public_bytes_raw(),
    )
    return ReadyBoard(board, registry)


def statuses(ready: ReadyBoard, *streams: bytes) -> Iterator[dict[str, int]]:
    """Status frames as they come, after the streams were typed, one after each of the first statuses."""
    cipher, decoder, waiting = ready.cipher(), StreamDecoder(), list(streams)
    with serial.Serial(ready.board.port, timeout=0.2) as link:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for found in decoder.feed(link.read(512)):
                if isinstance(found, Frame) and found.header.type is FrameType.STATUS:
                    status = json.loads(open_frame(cipher, found))
                    if status["update"]:
                        continue  # how far the update has come
                    yield status
                    if waiting:
                        stream = waiting.pop(0)
                        for at in range(0, len(stream), 128):
                            link.write(stream[at : at + 128])
                            time.sleep(0.012)
    raise AssertionError("the status that was waited for did not come")


def test_an_update_is_taken_once(updatable: ReadyBoard) -> None:
    stream = build(NEW, 7, KEY).stream
    for status in statuses(updatable, stream, stream):
        if status["version"] == 7 and status["rejected_commands"]:
            break  # the second is not newer
    for path, content in NEW.items():
        assert (updatable.board.flash / path.lstrip("/")).read_bytes() == content
    assert not list(updatable.board.flash.rglob("*.update"))


def forged() -> bytes:
    return build(NEW, 7, Ed25519PrivateKey.generate()).stream


def changed_manifest() -> bytes:
    return build(NEW, 7, KEY).stream.replace(b'"version":7', b'"version":8')


def changed_file() -> bytes:
    return build(NEW, 7, KEY).stream.replace(b"# newer", b"# worse")


def signed(path: str) -> bytes:
    """Signed by the right key, which should not have."""
    files = [{"path": path, "size": 4, "sha256": hashlib.sha256(b"mine").hexdigest()}]
    manifest = json.dumps({"version": 7, "files": files}).encode()
    return b"PUPD%04x" % len(manifest) + manifest + KEY.sign(manifest).hex().encode() + b"mine"


def keystore() -> bytes:
    return signed("/keystore.bin")


def climbing() -> bytes:
    return signed("/pericard_node/../keystore.bin")


@pytest.mark.parametrize("bad", [forged, changed_manifest, changed_file, keystore, climbing])
def test_a_bad_update_is_refused_and_counted(updatable: ReadyBoard, bad: object) -> None:
    before = {path: path.read_bytes() for path in updatable.board.flash.rglob("*.py")}
    stream = bad()  # type: ignore[operator]
    with pytest.raises(UpdateError):
        parse_update(stream, KEY.public_key())
    for status in statuses(updatable, stream):
        if status["rejected_commands"]:
            assert status["version"] == 0
            break
    assert {path: path.read_bytes() for path in updatable.board.flash.rglob("*.py")} == before


@pytest.mark.parametrize("instant", range(1, 7))
def test_a_power_cut_while_it_is_finished(updatable: ReadyBoard, instant: int) -> None:
    """The board has all of it; the power fails at each change in turn; the next start completes it."""
    board = updatable.board
    board.kill()
    assert board.off.wait(60)
    for path, content in NEW.items():
        (board.flash / f"{path.lstrip('/')}.update").write_bytes(content)
    manifest = build(NEW, 7, KEY).stream[8:].partition(b"}]}")[0] + b"}]}"
    (board.flash / "update.bin").write_bytes(hashlib.sha256(manifest).digest() + manifest)
    board.power_on(cut_at=instant)
    assert board.off.wait(60)
    board.power_on()
    assert next(statuses(updatable))["version"] == 7
    for path, content in NEW.items():
        assert (board.flash / path.lstrip("/")).read_bytes() == content


def flood(link: serial.Serial, _: int) -> None:
    link.write(b"x" * 64)


def drip(link: serial.Serial, turn: int) -> None:
    if turn % 6 == 0:
        link.write(b"PUPD0fa0".ljust(100)[turn // 6 :][:1])


def never_signed(link: serial.Serial, turn: int) -> None:
    """Fast enough to be believed a sender, for as long as the node waits for a signature."""
    if turn == 0:
        link.write(b"PUPD0fa0")
    elif turn % 6 == 0:
        link.write(b"x" * 100)


@pytest.mark.parametrize(
    ("outsider", "seconds", "most"), [(flood, 3, 0.0), (drip, 8, 2.0), (never_signed, 10, 5.0)]
)
def test_an_outsider_keeps_the_sensor_waiting_once_and_not_for_long(
    updatable: ReadyBoard, outsider: Callable[[serial.Serial, int], None], seconds: float, most: float
) -> None:
    """A reading comes some 30 times a second here; the rest after a wait lasts nine times as long."""
    decoder = StreamDecoder()
    with serial.Serial(updatable.board.port, timeout=0.05) as link:
        updatable.board.reset()
        read_frames(updatable.board.port, 20)
        start = last = time.monotonic()
        waits, turn = [], 0
        while last - start < seconds:
            outsider(link, turn)
            turn += 1
            frames = [found for found in decoder.feed(link.read(4096)) if isinstance(found, Frame)]
            if any(frame.header.type is FrameType.VITALS for frame in frames):
                now = time.monotonic()
                waits.append(now - last)
                last = now
            assert time.monotonic() - last < most + 5, "the sensor still waits"
    long = [wait for wait in waits if wait > 1.5]  # less may be this machine's
    assert len(long) == bool(most)
    assert all(most - 0.5 < wait < most + 3 for wait in long)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("not a key")
    with pytest.raises(BadArgument, match="openssl genpkey"):
        load_key(tmp_path / "key.pem")


def test_a_board_that_goes_away_while_it_is_updated_is_named() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    os.close(slave)
    sent: list[int] = []

    def go_away(count: int) -> None:
        sent.append(count)
        if len(sent) == 2:
            os.close(master)

    with pytest.raises(BoardError, match=f"{port}: the board went away at byte 256: send it again"):
        send(port, bytes(1000), go_away)
    assert sent == [128, 128]


def test_the_commands_of_the_manual_make_an_update_that_its_key_verifies(tmp_path: Path) -> None:
    (section,) = re.findall(r"## Updates\n.*?```\n(.*?)```", HARDWARE.read_text(), re.DOTALL)
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    commands = [line for line in section.splitlines() if line.startswith(("openssl", "pericard update"))]
    for command in commands:
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, env=environment)  # noqa: S602 - our manual's
    for name in ("signing.pem", "update.pem"):
        key = load_public_key(tmp_path / name)
        assert parse_update((tmp_path / "node.update").read_bytes(), key).version == 2
