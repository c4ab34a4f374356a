"""SIGKILL on gateway and server at random instants under load: what was committed arrives, once.

`PERICARD_KILLS=200` is the full run (about five minutes); the figure is in docs/performance.md.
"""

import os
import secrets
import threading

import pytest
from tests.parts.hospital_process import HospitalProcess
from tests.parts.waiting import until
from tests.parts.ward import Device, Line, Ward, committed, feed, new_line

KILLS = int(os.environ.get("PERICARD_KILLS", "12"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_committed_is_lost_or_stored_twice(hospital: HospitalProcess, ward: Ward) -> None:
    device = ward.devices[0]
    expected: list[tuple[int, int, int]] = []
    hospital.start()
    for number in range(KILLS):
        # In turns the gateway, the server, both: whoever survives meets the other's new start.
        gateway_dies, server_dies = number % 3 != 1, number % 3 != 0
        if ward.process is None or ward.process.poll() is not None:
            device.boot, device.seq = device.boot + 1, 0
            ward.lines[0].close()
            ward.lines[0] = new_line()  # what the dead gateway had not read is gone with its line
            ward.start()
        _load(ward.lines[0], device, 0.05 + secrets.randbelow(400) / 1000)
        if server_dies:
            hospital.kill()
        if gateway_dies:
            ward.kill()
            ward.lines[0].unblock()
            expected += [(device.number, device.boot, seq) for seq in range(committed(ward, device))]
        if server_dies:
            hospital.launch()
    if ward.process is None or ward.process.poll() is not None:
        ward.start()
    else:
        # What was written is not lost with a line: all of it is read at last.
        until(lambda: committed(ward, device) == device.seq, lambda: ward.log[-2000:])
        expected += [(device.number, device.boot, seq) for seq in range(committed(ward, device))]
    until(lambda: ward.status()["spool"]["records"] == 0, lambda: ward.log[-2000:])
    assert ward.status()["refused"] == {}
    assert ward.stop() == 0
    assert expected
    assert hospital.stored() == sorted(expected)


def _load(line: Line, device: Device, seconds: float) -> None:
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(line, device, stop))
    feeder.start()
    stop.wait(seconds)
    stop.set()
    feeder.join()
