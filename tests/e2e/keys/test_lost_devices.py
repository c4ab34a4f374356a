"""A device that the KMS is told to be lost: the hospital hears of it, and of when it got a new key."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import KmsProcess

from pericard_edge.kms import KmsClient
from pericard_protocol.errors import Unavailable, UsageError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_protocol.uplink.providers import provider
from pericard_server.custody.folder import KeyFolder
from pericard_server.custody.kms import KmsKeys
from pericard_server.errors import TamperedRow
from pericard_server.fleet import assignments
from pericard_server.fleet.losses import DeviceLoss, Losses
from pericard_server.records import patients
from pericard_server.records.data_keys import DataKeys
from pericard_server.records.store import Records
from pericard_server.records.suites import DEFAULT_SUITE

SECOND = 1_000_000


@pytest.mark.slow
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
@pytest.mark.slow
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


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow  # a KMS starts
def test_what_a_former_gateway_opens_with_an_old_lease_is_held_back(
    open_kms: tuple[KmsProcess, str], token_of: Callable[[str], None], tmp_path: Path
) -> None:
    """Cut off before the loss, it brings the thief's frames as new ones after the device was found."""
    process, root = open_kms
    folder = KeyFolder(tmp_path / "keys", provider("cryptography"))
    folder.create()
    patients.register("p-1")
    assignments.assign(7, "p-1")
    token_of("server")
    with KmsClient(process.url, root) as officer, closing(KmsKeys(process.url, None, "x")) as keys:
        officer.call("POST", "devices/devices/7", {"owner": "bed"})
        officer.call("POST", "devices/devices/7/provision")
        officer.call("POST", "devices/leases", {"gateway": "former", "devices": [7], "ttl": "2h"})
        (former,) = officer.call("LIST", "devices/leases")["keys"]
        officer.call("POST", "devices/devices/7/state", {"state": "lost", "reason": "stolen"})
        officer.call("POST", "devices/devices/7/provision", {"reason": "found"})

        def records(after: float) -> Records:
            clock = time.time() + after
            return Records(DataKeys(folder), DEFAULT_SUITE.name, Losses(keys), lambda: clock)

        def stored(seq: int, after: float) -> None:
            at = int((time.time() + after) * SECOND)
            frame = OpenedFrame(device=7, boot=1, seq=seq, type=1, received_at_us=at, payload=b"%d" % seq)
            assert records(after).commit([frame]).new == 1

        def given() -> list[bytes]:
            return [row.payload for row in records(0).vitals("p-1", "tester", "test")]

        stored(1, 2)
        stored(2, 3600)
        stored(3, 7200 + 60)
        assert given() == [b"3"]
        # It is back, and has dropped the key: what it opens from half a minute later on is the new device's.
        officer.call("POST", f"devices/leases/{former}/reconcile", {"holds": []})
        assert given() == [b"2", b"3"]
