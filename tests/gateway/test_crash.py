"""SIGKILL at random instants: every frame that was committed arrives, once, and no nonce is used twice."""

import os
import secrets
import threading

import pytest
from tests.parts.waiting import until
from tests.parts.ward import StandInHospital, Ward, committed, feed, new_line

KILLS = int(os.environ.get("PERICARD_KILLS", "12"))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [KILLS])
def test_kill_9_loses_nothing_committed(ward: Ward, hospital: StandInHospital, kills: int) -> None:
    device = ward.devices[0]
    expected: set[tuple[int, int, int]] = set()
    for kill in range(kills):
        device.boot, device.seq = device.boot + 1, 0
        ward.lines[0].close()
        ward.lines[0] = new_line()  # what the dead gateway had not read is gone with its line
        ward.start()
        stop = threading.Event()
        feeder = threading.Thread(target=feed, args=(ward.lines[0], device, stop))
        feeder.start()
        if kill == 0:  # once after a commit for sure: a busy machine may have none in the time of the others
            until(lambda: committed(ward, device))
        stop.wait(secrets.randbelow(800) / 1000)
        ward.kill()
        stop.set()
        ward.lines[0].unblock()
        feeder.join()
        # The line is in order and so are the commits: the mark says that all up to it are committed.
        expected |= {(device.number, device.boot, seq) for seq in range(committed(ward, device))}
    assert expected
    ward.start()
    hospital.wait_for(len(expected))
    assert set(hospital.frames) == expected
    assert hospital.duplicates == 0
    assert hospital.reused == []
    assert ward.stop() == 0
