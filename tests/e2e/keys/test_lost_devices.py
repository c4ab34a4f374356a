"""A device that the KMS is told to be lost: the hospital hears of it, and of when it got a new key."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.parts.kms import KmsProcess

from pericard_edge.kms import KmsClient
from pericard_protocol.errors import Unavailable
from pericard_server.custody.kms import KmsKeys
from pericard_server.fleet.losses import DeviceLoss

SECOND = 1_000_000


@pytest.mark.slow  # times in the KMS are whole seconds: it waits for some to pass
def test_the_hospital_hears_of_a_loss_and_of_its_end(
    open_kms: tuple[KmsProcess, str], token_of: Callable[[str], None]
) -> None:
    process, root = open_kms
    token_of("server")
    with KmsClient(process.url, root) as officer, closing(KmsKeys(process.url, None, "x")) as keys:

        def tell(path: str, **body: Any) -> None:
            officer.call("POST", f"devices/devices/{path}", body)

        for device in (7, 8, 9):
            tell(str(device), owner="bed")
            tell(f"{device}/provision")
        assert keys.lost_devices(()) == []

        since = int(time.time()) - 3600
        tell("7/state", state="lost", reason="left in a taxi", since=since)
        tell("8/state", state="lost", reason="stolen", since=since)
        tell("8/state", state="retired", reason="stolen")
        lost = DeviceLoss(7, since * SECOND, None)
        retired = DeviceLoss(8, since * SECOND, None)
        assert sorted(keys.lost_devices(())) == [lost, retired]

        time.sleep(1.1)
        tell("7/provision", reason="found")
        provisioned = time.time()
        time.sleep(2.1)
        found, _ = sorted(keys.lost_devices(()))
        assert found[:2] == (7, since * SECOND)
        assert found.until_us is not None
        assert found.until_us / SECOND == pytest.approx(provisioned, abs=1.5)
        assert list(keys.lost_devices({(7, since * SECOND)})) == [retired]

        officer.call("PUT", "sys/seal")
        with pytest.raises(Unavailable):
            keys.lost_devices(())
