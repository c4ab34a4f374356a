"""A device that the KMS is told to be lost: the hospital hears of it, and of when it got a new key."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.parts.kms import KmsProcess

from pericard_edge.kms import KmsClient
from pericard_protocol.errors import Unavailable, UsageError
from pericard_server.custody.kms import KmsKeys
from pericard_server.errors import TamperedRow
from pericard_server.fleet.losses import DeviceLoss

SECOND = 1_000_000


def test_the_hospital_hears_of_every_loss_and_of_its_end(
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
        assert keys.lost_devices() == []

        since = int(time.time()) - 3600
        tell("7/state", state="lost", reason="left in a taxi", since=since)
        tell("8/state", state="lost", reason="stolen", since=since)
        tell("8/state", state="retired", reason="stolen")
        lost = DeviceLoss(7, since * SECOND, None)
        retired = DeviceLoss(8, since * SECOND, None)
        assert sorted(keys.lost_devices()) == [lost, retired]

        tell("7/provision", reason="found")
        found, _ = sorted(keys.lost_devices())
        assert found[:2] == (7, since * SECOND)
        assert found.until_us is not None
        assert found.until_us / SECOND == pytest.approx(time.time(), abs=5)
        tell("7/state", state="lost", reason="again", since=since + 60)
        assert sorted(keys.lost_devices()) == [found, DeviceLoss(7, (since + 60) * SECOND, None), retired]

        officer.call("PUT", "sys/seal")
        with pytest.raises(Unavailable):
            keys.lost_devices()


@pytest.mark.parametrize("owner", ["", ".", "patient-7/erase?x=", "7%2ferase%3f", "a/../../sys", "7\n", "ö"])
def test_an_owner_that_is_no_name_reaches_no_path_of_the_kms(
    open_kms: tuple[KmsProcess, str], token_of: Callable[[str], None], owner: str
) -> None:
    """Whoever can write to the database names the owner, and the server's token would go along."""
    token_of("server")
    with closing(KmsKeys(open_kms[0].url, None, "x")) as keys:
        with pytest.raises(UsageError, match="no name in the KMS"):
            keys.new_key(owner, "2026-Q4")
        with pytest.raises(TamperedRow, match="no name in the KMS"):
            keys.unwrap(owner, "2026-Q4", b"vault:v1:AAAA")
        data_key, wrapped = keys.new_key("patient-a.b-1", "2026-Q4")
        assert keys.unwrap("patient-a.b-1", "2026-Q4", wrapped) == data_key
