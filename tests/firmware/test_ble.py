"""The node's BLE link cuts packets so that they join again, whatever the radio refuses or loses."""

from .conftest import FIRMWARE, HERE, MICROPYTHON, run


def test_every_mtu() -> None:
    assert run(MICROPYTHON, HERE / "mtu.py", FIRMWARE) == "every MTU from 23 to 247\n"


def test_what_a_lost_connection_kept_back_comes_in_the_next() -> None:
    assert run(MICROPYTHON, HERE / "returning.py", FIRMWARE) == "nothing was lost\n"
