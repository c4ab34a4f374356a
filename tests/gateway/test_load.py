"""Two thousand devices on one gateway, and a soak: every frame arrives once, in order, and memory stays flat.

`PERICARD_SOAK_FRAMES=1000000` is the full soak; its figures are in docs/performance.md.
"""

import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.parts.waiting import until
from tests.parts.ward import Device, Line, StandInHospital, Ward, new_line

DEVICES = 2000
LINES = 8
SOAK_FRAMES = int(os.environ.get("PERICARD_SOAK_FRAMES", "80000"))


class Tallying(StandInHospital):
    """Keeps a count a device instead of a million frames: each must be the one after the last."""

    def __init__(self, gateway_id: str, gateway_key: Any) -> None:
        super().__init__(gateway_id, gateway_key)
        self.next: Counter[int] = Counter()
        self.total = 0
        self.out_of_order = 0

    def _store(self, frames: Any) -> None:
        for frame in frames:
            self.out_of_order += frame.seq != self.next[frame.device]
            self.next[frame.device] = frame.seq + 1
        self.total += len(frames)

    def _remember(self, number: tuple[bytes, int], ciphertext: bytes) -> None:
        self.wire.clear()


@pytest.fixture
def hospital(signer: Any) -> StandInHospital:
    return Tallying("ward-1", signer.public_key())


def _rss_mb(ward: Ward) -> float:
    assert ward.process is not None
    status = Path(f"/proc/{ward.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def _drive(line: Line, devices: list[Device], rounds: int) -> None:
    for _ in range(rounds):
        for start in range(0, len(devices), 25):
            line.write(b"".join(device.packet() for device in devices[start : start + 25]))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_thousand_devices_and_flat_memory(ward: Ward, hospital: Tallying) -> None:
    ward.devices = [Device(number) for number in range(1, DEVICES + 1)]
    ward.lines += [new_line() for _ in range(LINES - 1)]
    ward.start()
    rounds = max(SOAK_FRAMES // DEVICES, 4)
    sizes = []
    began = time.monotonic()
    for part in range(4):
        drivers = [
            threading.Thread(target=_drive, args=(line, ward.devices[number::LINES], rounds // 4))
            for number, line in enumerate(ward.lines)
        ]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.join()
        expected = DEVICES * (rounds // 4) * (part + 1)
        until(lambda: hospital.total >= expected, lambda: (hospital.total, ward.status()), seconds=120)  # noqa: B023
        until(lambda: ward.status()["spool"]["records"] == 0, seconds=60)
        sizes.append(_rss_mb(ward))
    seconds = time.monotonic() - began
    status = ward.status()
    assert hospital.total == expected
    assert hospital.out_of_order == 0
    assert set(hospital.next.values()) == {expected // DEVICES}
    assert len(status["devices"]) == DEVICES
    assert status["rejected"] == {}
    print(f"soak: {expected} frames, {expected / seconds:.0f}/s, RSS MB {sizes}", file=sys.stderr)
    # The first quarter warms allocators and caches; from then on nothing may grow with the frames.
    assert sizes[-1] - sizes[0] < 12, sizes
    assert sizes[-1] < 256, sizes
