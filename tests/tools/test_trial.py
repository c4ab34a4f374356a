"""New firmware is on trial: what does not load, crashes or hangs is taken back, whenever the power fails.

Invariant: after any of it the board runs the old firmware whole or the new whole, and sends frames.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
from tests.parts.board import ReadyBoard, quiet_board, read_frames
from tests.parts.waiting import until

from pericard_protocol.device.frame import Frame, FrameType, open_frame
from pericard_protocol.device.stream import StreamDecoder
from pericard_tools.board.flash import firmware_files, flash

pytestmark = pytest.mark.slow  # boards start, and wait as boards do

APP, MAIN, ADDED = "/pericard_node/app.py", "/main.py", "/pericard_node/news.py"
FIRMWARE = firmware_files()
GOOD = {APP: FIRMWARE[APP] + b"# newer\n", ADDED: b"# new\n"}
DOES_NOT_LOAD = {MAIN: b"this is no Python\n", ADDED: b"# new\n"}
CRASHES = {APP: FIRMWARE[APP] + b"\nraise ValueError('worse')\n", ADDED: b"# new\n"}
HANGS = {APP: FIRMWARE[APP] + b"\nwhile True:\n    pass\n", ADDED: b"# new\n"}
TAKES_BACK_NOTHING = {
    "/pericard_node/trial.py": b"def on_trial():\n    raise OSError\n",
    "/pericard_node/update.py": b"nothing\n",
    ADDED: b"# new\n",
}


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[ReadyBoard]:
    """A node without power whose watch over a trial bites after three seconds, not ten minutes."""
    with quiet_board(tmp_path, STATUS_SECONDS=1) as ready:
        watch(ready, 600000, 3000)
        yield ready


def watch(bed: ReadyBoard, before: int, after: int) -> None:
    boot = bed.board.flash / "boot.py"
    old = b"_WATCH_MS = %d" % before
    assert old in boot.read_bytes()
    boot.write_bytes(boot.read_bytes().replace(old, b"_WATCH_MS = %d" % after))


def stage(bed: ReadyBoard, files: dict[str, bytes], version: int) -> None:
    """Leaves on the board what an update has brought whole, before its restart."""
    for path, content in files.items():
        (bed.board.flash / f"{path.lstrip('/')}.update").write_bytes(content)
    manifest = json.dumps({"version": version, "files": [{"path": path} for path in files]}).encode()
    (bed.board.flash / "update.bin").write_bytes(hashlib.sha256(manifest).digest() + manifest)


def holds(bed: ReadyBoard, files: dict[str, bytes]) -> bool:
    return all(
        (bed.board.flash / path.lstrip("/")).read_bytes() == content for path, content in files.items()
    )


def left_behind(bed: ReadyBoard) -> list[Path]:
    found = [path for path in bed.board.flash.rglob("*") if path.suffix in (".old", ".update", ".new")]
    return (
        found + [path for path in bed.board.flash.glob("trial.*")] + list(bed.board.flash.glob("update.bin"))
    )


def status(bed: ReadyBoard, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status frame of which `met` holds; a board that starts again may be silent for a while."""
    cipher, decoder, end = bed.cipher(), StreamDecoder(), time.monotonic() + 60
    with serial.Serial(bed.board.port, timeout=0.2) as link:
        while time.monotonic() < end:
            for found in decoder.feed(link.read(512)):
                if isinstance(found, Frame) and found.header.type is FrameType.STATUS:
                    told: dict[str, Any] = json.loads(open_frame(cipher, found))
                    if met(told):
                        return told
    raise AssertionError("the status that was waited for did not come")


def test_firmware_that_sends_a_frame_has_proved_itself(bed: ReadyBoard) -> None:
    stage(bed, GOOD, 7)
    bed.board.power_on()
    told = status(bed, lambda told: bool(told["uptime_seconds"]))
    assert (told["version"], told["failed_version"]) == (7, 0)
    assert holds(bed, GOOD)
    assert not left_behind(bed)
    starts = read_frames(bed.board.port, 1)[0].header.boot
    time.sleep(6)  # twice the watch, which nobody has stopped: it is fed now
    assert read_frames(bed.board.port, 1)[0].header.boot == starts


@pytest.mark.parametrize("bad", [DOES_NOT_LOAD, CRASHES, HANGS, TAKES_BACK_NOTHING])
def test_firmware_that_does_not_work_is_taken_back(bed: ReadyBoard, bad: dict[str, bytes]) -> None:
    stage(bed, bad, 7)
    bed.board.power_on()
    told = status(bed, lambda told: told["failed_version"] == 7)
    assert told["version"] == 0
    assert holds(bed, {path: FIRMWARE[path] for path in bad if path != ADDED})
    assert not (bed.board.flash / ADDED.lstrip("/")).exists()
    # A later one is taken after that.
    bed.board.kill()
    assert bed.board.off.wait(60)
    stage(bed, GOOD, 8)
    bed.board.power_on()
    assert status(bed, lambda told: told["version"] == 8)["failed_version"] == 7


def staged(bed: ReadyBoard) -> None:
    stage(bed, GOOD, 7)


def on_trial(bed: ReadyBoard, files: dict[str, bytes], starts: int) -> None:
    """Leaves on the board what `finish` does, and so many starts after it."""
    replaced = [path for path in files if path != ADDED]
    for path, content in files.items():
        here = bed.board.flash / path.lstrip("/")
        if path in replaced:
            here.rename(f"{here}.old")
        here.write_bytes(content)
    record = json.dumps({"version": 7, "replaced": replaced, "added": [ADDED]}).encode()
    (bed.board.flash / "trial.bin").write_bytes(hashlib.sha256(record).digest() + record)
    (bed.board.flash / "trial.n").write_bytes(b"." * starts)


def about_to_be_proved(bed: ReadyBoard) -> None:
    on_trial(bed, GOOD, 1)


def about_to_be_taken_back(bed: ReadyBoard) -> None:
    on_trial(bed, {MAIN: b"no Python\n"} | CRASHES, 5)


@pytest.mark.parametrize("begun", [staged, about_to_be_proved, about_to_be_taken_back])
def test_the_power_fails_at_every_change_in_turn(
    bed: ReadyBoard, begun: Callable[[ReadyBoard], None]
) -> None:
    good = begun is not about_to_be_taken_back
    before = {path: path.read_bytes() for path in bed.board.flash.rglob("*") if path.is_file()}
    instant, cut = 0, True
    while cut:
        instant += 1
        for path in [path for path in bed.board.flash.rglob("*") if path.is_file()]:
            path.unlink()
        for path, content in before.items():  # the boot number with the rest: it is not what is tested here
            path.write_bytes(content)
        begun(bed)
        bed.board.power_on(cut_at=instant)
        cut = bed.board.off.wait(1.5)
        if cut:
            bed.board.power_on()
        told = status(
            bed, lambda told: told["failed_version"] == 7 or (good and bool(told["uptime_seconds"]))
        )
        assert (told["version"], told["failed_version"]) == ((7, 0) if good else (0, 7)), f"instant {instant}"
        assert holds(bed, GOOD if good else {path: FIRMWARE[path] for path in (APP, MAIN)}), (
            f"instant {instant}"
        )
        assert (bed.board.flash / ADDED.lstrip("/")).exists() == good, f"instant {instant}"
        assert not (bed.board.flash / "trial.bin").exists()
        bed.board.kill()
        assert bed.board.off.wait(60)
    assert instant > 4


def test_what_an_earlier_trial_left_beside_is_never_put_back(bed: ReadyBoard) -> None:
    """A trial that was cut while it ended has left an *.old; the next is cut before it has one of its own."""
    flash_of = bed.board.flash
    stale = flash_of / f"{APP.lstrip('/')}.old"
    stage(bed, GOOD, 7)
    for instant in range(1, 20):
        stale.write_bytes(b"# of long ago\n")
        bed.board.power_on(cut_at=instant)
        assert bed.board.off.wait(60)
        if (flash_of / "trial.bin").exists():
            break
    assert holds(bed, {APP: FIRMWARE[APP]})
    (flash_of / "trial.n").write_bytes(b"." * 5)
    bed.board.power_on()
    status(bed, lambda told: told["failed_version"] == 7)
    assert holds(bed, {APP: FIRMWARE[APP]})


def test_a_cable_ends_a_trial(bed: ReadyBoard) -> None:
    watch(bed, 3000, 600000)  # which must not bite meanwhile, however slow this machine is
    stage(bed, HANGS, 7)
    bed.board.power_on()
    until(lambda: (bed.board.flash / "trial.n").exists(), lambda: "the trial did not begin")
    flash(bed.board.port, FIRMWARE)
    assert not (bed.board.flash / "trial.bin").exists()
    assert status(bed, lambda told: bool(told["uptime_seconds"]))["failed_version"] == 0
    assert holds(bed, FIRMWARE)
