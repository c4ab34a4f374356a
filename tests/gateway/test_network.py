"""A bad network between gateway and hospital: whatever it does, in the end every frame is there, once."""

import pytest
from tests.parts.proxy import Trouble, proxied
from tests.parts.ward import Hospital, Ward, until

FRAMES = 1500


def _all_there(ward: Ward, hospital: Hospital, frames: int) -> None:
    hospital.wait_for(frames, seconds=90)
    until(lambda: ward.status()["spool"]["records"] == 0, seconds=90)
    assert sorted(hospital.frames) == [(1, 1, seq) for seq in range(frames)]
    assert (hospital.duplicates, hospital.reused) == (0, [])
    status = ward.status()
    assert status["refused"] == {}
    assert status["devices"]["1"] == {"received": frames, "accepted": frames, "rejected": {}}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["latency", "loss", "resets", "half-open", "down"])
def test_all_catch_up(ward: Ward, hospital: Hospital, server_port: int, trouble: Trouble) -> None:
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
def test_an_hour_without_the_hospital(ward: Ward, hospital: Hospital, server_port: int) -> None:
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


def test_a_full_spool_stops_the_reading_and_nothing_is_dropped(
    ward: Ward, hospital: Hospital, server_port: int
) -> None:
    """At the bound the device's own line blocks; with room again, reading goes on where it stopped."""
    frames = 12_000  # 1.5 MB sealed
    with proxied(server_port) as proxy:
        ward.server_port, ward.extra = proxy.port, "[spool]\nmax_mb = 1\n"
        ward.start()
        ward.feeding(10).join()
        hospital.wait_for(10)
        proxy.suffer("down")
        feeder = ward.feeding(frames)
        until(lambda: "spool" in ward.status()["troubles"], lambda: ward.status(), seconds=60)
        full = ward.status()["spool"]["bytes"]
        assert 1 << 20 <= full < 3 << 19
        assert feeder.is_alive()  # its line takes no more
        assert "the devices are not read" in ward.log
        proxy.suffer("none")
        feeder.join(60)
        _all_there(ward, hospital, frames + 10)
