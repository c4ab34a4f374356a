"""The node as a whole on the virtual board: status, waveform, crash log, watchdog, deep sleep, its ring."""

import json
import struct
import time
from collections.abc import Callable

import pytest
import serial
from tests.parts.board import ReadyBoard, mpremote, read_frames
from tests.parts.waiting import until

from pericard_protocol.device.frame import Frame, FrameType, open_frame
from pericard_protocol.device.stream import StreamDecoder
from pericard_tools.board.recording import WAVEFORM_FLASH_PATH, shipped_waveform, waveform_file

pytestmark = pytest.mark.slow  # boards start, and wait as boards do

pytestmark = pytest.mark.slow  # boards start, and wait as boards do


def configure(ready: ReadyBoard, **settings: object) -> None:
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (ready.board.flash / "config.py").write_text("".join(lines))


def frames_until(
    ready: ReadyBoard, enough: Callable[[list[tuple[Frame, bytes]]], bool], typed: bytes = b""
) -> list[tuple[Frame, bytes]]:
    """The frames of a fresh start, each with its payload, until there are enough."""
    cipher, decoder = ready.cipher(), StreamDecoder()
    found: list[tuple[Frame, bytes]] = []
    with serial.Serial(ready.board.port, timeout=0.2) as link:
        ready.board.kill()
        assert ready.board.off.wait(60)
        link.reset_input_buffer()
        ready.board.power_on()
        end = time.monotonic() + 60
        while not enough(found):
            assert time.monotonic() < end, f"not among {len(found)} frames"
            new = [one for one in decoder.feed(link.read(512)) if isinstance(one, Frame)]
            found += [(one, open_frame(cipher, one)) for one in new]
            if new and typed:
                link.write(typed)
                typed = b""
    return found


def statuses(found: list[tuple[Frame, bytes]]) -> list[dict[str, object]]:
    return [json.loads(payload) for frame, payload in found if frame.header.type is FrameType.STATUS]


def test_a_status_tells_how_the_node_is(ready: ReadyBoard) -> None:
    configure(ready, STATUS_SECONDS=1)
    found = frames_until(ready, lambda found: len(statuses(found)) == 2, typed=b"open sesame\r\n")
    first, second = statuses(found)
    assert set(first) == {
        "battery_volts", "uptime_seconds", "free_bytes", "rejected_commands", "rejected_beats",
        "dropped_frames", "reset_cause", "version", "failed_version", "update", "room",
    }  # fmt: skip
    assert (first["uptime_seconds"], second["uptime_seconds"]) == (1, 2)
    assert first["battery_volts"] is None
    assert isinstance(first["free_bytes"], int)
    assert second["rejected_commands"] == 1
    # It was provisioned without an update key.
    assert (second["version"], second["update"], second["room"]) == (0, None, 0)
    # Every fifth interval of the recording is no heart's.
    assert first["rejected_beats"] > 0  # type: ignore[operator]
    assert second["dropped_frames"] == 0
    assert first["reset_cause"] == 1


def test_a_waveform_comes_with_its_beats(ready: ReadyBoard) -> None:
    samples, rate = shipped_waveform()
    (ready.board.flash / WAVEFORM_FLASH_PATH.lstrip("/")).write_bytes(waveform_file(samples, rate, speed=20))
    configure(ready, SENSOR="waveform", WAVEFORM=True)
    found = frames_until(ready, lambda found: len(found) > 30)
    blocks = [payload for frame, payload in found if frame.header.type is FrameType.WAVEFORM]
    received: list[int] = []
    for block in blocks:
        first, block_rate, count = struct.unpack_from(">IHH", block)
        assert (first, block_rate) == (len(received), rate)
        received += struct.unpack_from(f">{count}h", block, 8)
        assert len(block) == 8 + 2 * count
    assert received == samples[: len(received)]
    beats = [json.loads(payload) for frame, payload in found if frame.header.type is FrameType.VITALS]
    assert len(beats) > 5
    assert all(80 < beat["heart_rate_bpm"] < 150 for beat in beats[2:])


def test_a_crash_is_logged_and_the_node_starts_again(ready: ReadyBoard) -> None:
    recording = ready.board.flash / "recording.json"
    recording.rename(recording.with_suffix(".away"))
    with serial.Serial(ready.board.port, timeout=60) as link:
        ready.board.reset()
        log = ready.board.flash / "crash.log"
        until(lambda: log.exists() and log.stat().st_size)
        assert "ENOENT" in log.read_text()
        recording.with_suffix(".away").rename(recording)
        decoder, end = StreamDecoder(), time.monotonic() + 60
        while not [one for one in decoder.feed(link.read(64)) if isinstance(one, Frame)]:
            assert time.monotonic() < end


def crashed(ready: ReadyBoard) -> list[str]:
    """The log after a fresh start of a node that crashes every second: when it has a crash more."""
    log = ready.board.flash / "crash.log"
    before = log.read_bytes() if log.exists() else b""
    ready.board.reset()
    until(lambda: log.exists() and log.read_bytes() not in (before, b""))
    return log.read_text().splitlines()


def test_a_module_that_does_not_load_is_a_crash_too(ready: ReadyBoard) -> None:
    (ready.board.flash / "pericard_node" / "ring.py").write_text("def (\n")
    assert "SyntaxError: invalid syntax" in crashed(ready)


def test_the_crash_log_does_not_fill_the_flash(ready: ReadyBoard) -> None:
    (ready.board.flash / "recording.json").unlink()
    (ready.board.flash / "crash.log").write_text("old\n" * 1025)
    lines = crashed(ready)
    assert "old" not in lines
    assert len([line for line in lines if line.startswith("Traceback")]) == 1


def test_a_log_that_cannot_be_written_does_not_end_the_node(ready: ReadyBoard) -> None:
    """As on a full flash."""
    recording = ready.board.flash / "recording.json"
    away = recording.with_suffix(".away")
    recording.rename(away)
    (ready.board.flash / "crash.log").mkdir()
    with serial.Serial(ready.board.port, timeout=60) as link:
        ready.board.reset()
        link.read_until(b"\0")  # a start that has come as far as its link
        link.read_until(b"\0")  # and the next
        away.rename(recording)
        decoder, end = StreamDecoder(), time.monotonic() + 60
        while not [one for one in decoder.feed(link.read(64)) if isinstance(one, Frame)]:
            assert time.monotonic() < end


def test_the_last_sequence_number_of_a_boot_is_followed_by_another_boot(ready: ReadyBoard) -> None:
    """The end is brought near: nothing else tells a node's first frames from its 2^30th."""
    module = ready.board.flash / "pericard_node" / "frame.py"
    module.write_text(module.read_text().replace("MAX_SEQ = (1 << 30) - 1", "MAX_SEQ = 2"))
    found = frames_until(ready, lambda found: len(found) >= 9)[:9]
    places = [(frame.header.boot, frame.header.seq) for frame, _ in found]
    first = places[0][0]
    assert places == [(first + n // 3, n % 3) for n in range(9)]


def test_an_epoch_has_all_of_its_frames(ready: ReadyBoard) -> None:
    module = ready.board.flash / "pericard_node" / "keystore.py"
    module.write_text(module.read_text().replace("EPOCH_FRAMES = 1 << 20", "EPOCH_FRAMES = 3"))
    frames = read_frames(ready.board.port, 9, reset=ready.board)
    assert [frame.header.epoch for frame in frames] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [frame.header.seq for frame in frames] == list(range(9))


def test_a_misspelt_setting_is_not_ignored(ready: ReadyBoard) -> None:
    configure(ready, SENSORS="recording")
    load = (
        "from pericard_node import settings\ntry:\n settings.load()\nexcept ValueError as error: print(error)"
    )
    said = mpremote(ready.board.port, "exec", load)
    assert "config.py: unknown setting SENSORS" in said


def test_the_watchdog_resets_a_node_that_hangs(ready: ReadyBoard) -> None:
    configure(ready, WATCHDOG_SECONDS=1, STATUS_SECONDS=0)
    (ready.board.flash / "recording.json").write_text('{"speed": 1, "rr_ms": [1, 700, 2900]}')
    found = frames_until(ready, lambda found: any(status["reset_cause"] == 3 for status in statuses(found)))
    assert len({frame.header.boot for frame, _ in found}) > 1


def test_deep_sleep_between_sends(ready: ReadyBoard) -> None:
    configure(ready, SLEEP_SECONDS=1, READINGS_A_WAKE=2)
    found = frames_until(ready, lambda found: len(statuses(found)) == 3)
    kinds = [frame.header.type for frame, _ in found]
    assert kinds == [FrameType.VITALS, FrameType.VITALS, FrameType.STATUS] * 3
    boots = [frame.header.boot for frame, _ in found]
    assert boots == [boots[0] + wake for wake in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert [status["reset_cause"] for status in statuses(found)] == [1, 4, 4]


@pytest.mark.parametrize(("room", "kept"), [(10_000, range(20)), (200, range(18, 20))])
def test_what_waits_for_the_link_goes_out_in_order(ready: ReadyBoard, room: int, kept: range) -> None:
    said = mpremote(
        ready.board.port,
        "exec",
        f"""
from pericard_node.ring import Ring
ring, out, up = Ring({room}), [], False
def send(packet):
    if up: out.append(packet[0])
    return up
for n in range(20):
    ring.push(bytes([n]) * 90)
    ring.drain(send)
up = True
ring.drain(send)
print(out, ring.dropped, len(ring))
""",
    )
    assert said == f"{list(kept)} {20 - len(kept)} 0\n"


def test_an_electrode_that_is_off_stops_the_readings_and_not_the_node(ready: ReadyBoard) -> None:
    flat = waveform_file([0] * 3000, 250, speed=20)
    (ready.board.flash / WAVEFORM_FLASH_PATH.lstrip("/")).write_bytes(flat)
    configure(ready, SENSOR="waveform", STATUS_SECONDS=1, WATCHDOG_SECONDS=1)
    found = frames_until(ready, lambda found: len(statuses(found)) == 2)
    assert [frame.header.type for frame, _ in found] == [FrameType.STATUS] * 2
    assert {status["reset_cause"] for status in statuses(found)} == {1}
