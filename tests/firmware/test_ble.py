"""The node's BLE link cuts packets at every MTU so that they join again, whatever the radio refuses."""

from .conftest import FIRMWARE, HERE, MICROPYTHON, run


def test_every_mtu() -> None:
    assert run(MICROPYTHON, HERE / "mtu.py", FIRMWARE) == "every MTU from 23 to 247\n"
