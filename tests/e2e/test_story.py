"""The whole pipeline by its own command, and the parts of the demo that decide what it says."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_tools.demo.search import encodings
from pericard_tools.demo.wire import LineTap
from pericard_tools.parties import Party, StageFailed, pericard


def run_demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-m", "pericard_tools", "demo", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["aes-256-gcm-siv", "fernet"])
def test_every_frame_is_stored_and_every_statistic_validated(tmp_path: Path, suite: str) -> None:
    """The demo also searches every database, spool, log and capture for a part of each payload."""
    done = run_demo(tmp_path, "--json", "--seconds", "6", "--at-rest", suite)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown["frames"] == shown["stored"] > 60
    assert (shown["lost"], shown["validated"]) == (0, True)
    for row in shown["patients"]:
        assert row["sent"] == row["received"] == row["stored"] > 20
        assert abs(row["mean_difference"]) < 1e-4
        assert abs(row["sd_difference"]) < 1e-3
        assert 40 < row["mean_clear"] < 160
    assert all(stage["milliseconds"] > 0 for stage in shown["stages"])
    assert "no vital sign or long-lived key in any" in shown["saw"]["the disks"]
    assert list(tmp_path.iterdir()) == [], "the demo left a file"
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in str(process.info["cmdline"])
    ], "the demo left a process"


@pytest.mark.slow
def test_a_party_that_does_not_start_is_named_with_its_reason(tmp_path: Path) -> None:
    party = Party("cloud", tmp_path, "cloud", "run", "--config", str(tmp_path / "missing.toml"))
    with pytest.raises(StageFailed, match=r"^cloud: it ended at once: (?s:.*)missing\.toml"):
        party.__enter__()


@pytest.mark.slow
def test_a_failing_command_is_named_with_its_reason(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(StageFailed, match=r"^hospital: `pericard server init .* failed: (?s:.*)missing"):
        pericard("hospital", "server", "init", "--config", missing)


@given(st.binary(max_size=20), st.binary(min_size=6, max_size=20), st.binary(max_size=20))
def test_a_marker_is_found_in_each_encoding(before: bytes, marker: bytes, after: bytes) -> None:
    text = before + marker + after
    for stored in (text, text.hex().encode(), base64.b64encode(text)):
        assert any(form in stored for form in encodings(marker))


@given(st.lists(st.binary(max_size=5)), st.lists(st.integers(0, 30)))
def test_the_tap_counts_packets_however_the_line_cuts_them(packets: list[bytes], cuts: list[int]) -> None:
    """A packet is what stands before a 0x00; empty ones are only delimiters."""
    packets = [packet.replace(b"\0", b"x") for packet in packets]
    line = b"".join(packet + b"\0" for packet in packets)
    tap = LineTap()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(line)], strict=True):
        tap(line[start:end])
    assert tap.frames == sum(bool(packet) for packet in packets)
    assert tap.bytes == len(line)
