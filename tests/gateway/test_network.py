"""A bad network between gateway and hospital: whatever it does, in the end every frame is there, once."""

import threading

import pytest
from tests.parts.proxy import Trouble, proxied
from tests.parts.waiting import until
from tests.parts.ward import StandInHospital, Ward

FRAMES = 1500


def _all_there(ward: Ward, hospital: StandInHospital, frames: int) -> None:
    hospital.wait_for(frames, seconds=90)
    until(lambda: ward.status()["spool"]["records"] == 0, seconds=90)
    assert sorted(hospital.frames) == [(1, 1, seq) for seq in range(frames)]
    assert (hospital.duplicates, hospital.reused) == (0, [])
    status = ward.status()
    assert status["refused"] == {}
    assert status["devices"]["1"] == {"received": frames, "accepted": frames, "rejected": {}}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["latency", "loss", "resets", "half-open", "down"])
def test_all_catch_up(ward: Ward, hospital: StandInHospital, server_port: int, trouble: Trouble) -> None:
    with proxied(server_port) as proxy:
        ward.server_port = proxy.port
        ward.start()
        ward.feeding(100).join()
        hospital.wait_for(100)
        proxy.suffer(trouble)
        ward.feeding(FRAMES - 100).join()
        if trouble in ("half-open", "down"):
            # The gateway finds out by itself, and says so.
            until(lambda: ward.status()["uplink"] != "up", seconds=60)
            until(lambda: ward.status()["spool"]["frames"] >= FRAMES - 100)
            proxy.suffer("none")
        elif trouble == "resets":
            until(lambda: proxy.resets >= 3, seconds=60)
            proxy.suffer("none")
        _all_there(ward, hospital, FRAMES)
        proxy.suffer("none")


@pytest.mark.slow
def test_an_hour_without_the_hospital(ward: Ward, hospital: StandInHospital, server_port: int) -> None:
    """The frames of an hour at ten a second wait on the disk, and then arrive."""
    with proxied(server_port) as proxy:
        ward.server_port = proxy.port
        ward.start()
        ward.feeding(10).join()
        hospital.wait_for(10)
        proxy.suffer("down")
        ward.feeding(36_000).join()
        until(lambda: ward.status()["spool"]["frames"] >= 36_000, seconds=60)
        proxy.suffer("none")
        _all_there(ward, hospital, 36_010)


@pytest.mark.slow
def test_a_full_spool_stops_the_reading_and_nothing_is_dropped(
    ward: Ward, hospital: StandInHospital, server_port: int
) -> None:
    """At the bound the device's own line blocks; with room again, reading goes on where it stopped."""
    (line,), device, enough = ward.lines, ward.devices[0], threading.Event()

    def write() -> None:
        while not enough.is_set():
            line.write(b"".join(device.packet() for _ in range(10)))

    looks: list[int] = []

    def blocked() -> bool:
        """The device has sealed no frame in the last 50 looks: its line takes no more."""
        looks.append(device.seq)
        return looks[-50:-49] == [device.seq]

    with proxied(server_port) as proxy:
        ward.server_port, ward.extra = proxy.port, "[spool]\nmax_mb = 1\n"
        ward.start()
        ward.feeding(10).join()
        hospital.wait_for(10)
        proxy.suffer("down")
        feeder = threading.Thread(target=write)
        feeder.start()
        try:
            until(lambda: "spool" in ward.status()["troubles"], ward.status, seconds=60)
            # The device never ends by itself: that it stands still can only be the gateway's doing.
            until(blocked, ward.status, seconds=60)
            # What waited in memory is stored, too; the first ten may have been acknowledged or not.
            until(lambda: ward.status()["spool"]["frames"] >= ward.status()["devices"]["1"]["accepted"] - 10)
            # Above the bound: at most the 2,048 frames that may wait in memory, and one read.
            assert 1 << 20 <= ward.status()["spool"]["bytes"] < 3 << 19
            assert "the devices are not read" in ward.log
        finally:
            enough.set()
            proxy.suffer("none")
            feeder.join(60)
        assert not feeder.is_alive(), ward.status()
        _all_there(ward, hospital, device.seq)
