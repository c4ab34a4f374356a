"""The commands as an operator types them: emulate, flash, provision; then frames come from two boards."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from tests.parts.board import BIN, read_frames
from tests.parts.waiting import until

from pericard_protocol.device.frame import open_frame
from pericard_protocol.device.vitals import parse_vitals
from pericard_tools.board.emulate import hearts

PERICARD = str(BIN / "pericard")


def pericard(*arguments: str | Path) -> str:
    run = subprocess.run([PERICARD, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_two_boards_by_name(tmp_path: Path) -> None:
    boards, registry = tmp_path / "boards", tmp_path / "devices.json"
    command = [PERICARD, "emulate", "amy", "bob", "--directory", str(boards), "--recording", "--json"]
    (tmp_path / "bob.rr").write_text("500\n1000\n")
    speeds = ["--speed", "60", "--speed", "bob=100", "--replay", f"bob={tmp_path / 'bob.rr'}"]
    with subprocess.Popen([*command, *speeds], stdout=subprocess.PIPE, text=True) as emulation:
        try:
            assert emulation.stdout is not None
            running = [json.loads(emulation.stdout.readline()) for _ in range(2)]
            assert [board["name"] for board in running] == ["amy", "bob"]
            ports = [board["port"] for board in running]
            flashed = [json.loads(line) for line in pericard("flash", *ports, "--json").splitlines()]
            assert [one["port"] for one in flashed] == ports
            assert all(one["written"] == one["files"] for one in flashed)
            for device, port in enumerate(ports, start=1):
                said = pericard(
                    "provision", port, "--device", str(device), "--owner", "a b", "--age", "50",
                    "--registry", registry, "--json",
                )  # fmt: skip
                assert json.loads(said) == {"port": port, "device": device}
            hearts = [json.loads((boards / name / "recording.json").read_text()) for name in ("amy", "bob")]
            assert [heart["speed"] for heart in hearts] == [60, 100]
            assert [len(heart["rr_ms"]) > 400 for heart in hearts] == [True, False]
            keys = {entry["device"]: entry["key"] for entry in json.loads(registry.read_bytes())["devices"]}
            rates = {}
            for device, port in enumerate(ports, start=1):
                cipher = ChaCha20Poly1305(bytes.fromhex(keys[device]))
                frames = read_frames(port, 10)
                assert {frame.header.device for frame in frames} == {device}
                rates[device] = {parse_vitals(open_frame(cipher, frame)).heart_rate_bpm for frame in frames}
            assert rates[1].isdisjoint(rates[2])
            assert rates[2] == {60, 120}
        finally:
            emulation.send_signal(signal.SIGTERM)
    assert emulation.returncode == 0


@pytest.mark.slow
def test_two_boards_replay_the_shipped_beats_from_places_of_their_own(tmp_path: Path) -> None:
    flashes = hearts(["amy", "bob"], recording=True, waveform=True, replays={}, speeds={"bob": 3})
    assert [sorted(files) for files in flashes.values()] == [["/recording.json", "/waveform.bin"]] * 2
    amy, bob = (json.loads(files["/recording.json"]) for files in flashes.values())
    assert (amy["speed"], bob["speed"]) == (1, 3)
    assert amy["rr_ms"] != bob["rr_ms"]
    assert sorted(amy["rr_ms"]) == sorted(bob["rr_ms"])
    described, _, samples = flashes["bob"]["/waveform.bin"].partition(b"\n")
    assert json.loads(described) == {"rate": 360, "speed": 3}
    assert len(samples) == 2 * 360 * 300


def test_the_end_of_emulate_leaves_no_processor(tmp_path: Path) -> None:
    """Even when it had no chance to end them: a VM dies with its terminal."""
    command = [PERICARD, "emulate", "amy", "--directory", str(tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulation:
        assert emulation.stdout is not None
        json.loads(emulation.stdout.readline())
        until(lambda: children(emulation.pid), lambda: "the board's processor did not start")
        processors = children(emulation.pid)
        emulation.kill()
    for pid in processors:
        wait_until_gone(pid)


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in listed for child in one.read_text().split()]


def wait_until_gone(pid: int) -> None:
    subprocess.run(["timeout", "60", "tail", f"--pid={pid}", "-f", "/dev/null"], check=True)
