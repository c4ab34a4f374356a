"""SIGKILL at random instants: every frame that was committed arrives, once, and no nonce is used twice."""

import secrets
import sqlite3
import threading

import pytest

from .ward import Device, Hospital, Line, Ward, new_line


def _feed(line: Line, device: Device, stop: threading.Event) -> None:
    while not stop.wait(0.002):
        line.write(b"".join(device.packet() for _ in range(4)))


def _committed(ward: Ward, device: Device) -> int:
    """How many frames of the device's present boot the killed gateway had committed."""
    database = sqlite3.connect(ward.folder / "state" / "spool.db")
    row = database.execute("SELECT boot, seq FROM marks WHERE device = ?", (device.number,)).fetchone()
    database.close()
    return row[1] + 1 if row and row[0] == device.boot else 0


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_kill_9_loses_nothing_committed(ward: Ward, hospital: Hospital, kills: int) -> None:
    device = ward.devices[0]
    expected: set[tuple[int, int, int]] = set()
    for _ in range(kills):
        device.boot, device.seq = device.boot + 1, 0
        ward.lines[0].close()
        ward.lines[0] = new_line()  # what the dead gateway had not read is gone with its line
        ward.start()
        stop = threading.Event()
        feeder = threading.Thread(target=_feed, args=(ward.lines[0], device, stop))
        feeder.start()
        stop.wait(secrets.randbelow(800) / 1000)
        ward.kill()
        stop.set()
        ward.lines[0].unblock()
        feeder.join()
        # The line is in order and so are the commits: the mark says that all up to it are committed.
        expected |= {(device.number, device.boot, seq) for seq in range(_committed(ward, device))}
    assert expected
    ward.start()
    hospital.wait_for(len(expected))
    assert set(hospital.frames) == expected
    assert hospital.duplicates == 0
    assert hospital.reused == []
    assert ward.stop() == 0
