"""The node's BLE link cuts packets so that they join again, whatever the radio refuses or loses."""

import pytest
from tests.parts.micropython import FIRMWARE, MICROPYTHON, SCRIPTS, run


def test_every_mtu() -> None:
    assert run(MICROPYTHON, SCRIPTS / "mtu.py", FIRMWARE) == "every MTU from 23 to 247\n"


@pytest.mark.parametrize("packet_bytes", [100, 500])
def test_what_a_lost_connection_kept_back_comes_in_the_next(packet_bytes: int) -> None:
    assert run(MICROPYTHON, SCRIPTS / "returning.py", FIRMWARE, str(packet_bytes)) == "nothing was lost\n"
