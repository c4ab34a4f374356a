"""The records: stored once, opened as they were written, refused when any column was changed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F

from pericard_protocol.device.frame import FrameType
from pericard_protocol.errors import UsageError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_protocol.uplink.providers import provider
from pericard_server.custody.folder import KeyFolder
from pericard_server.errors import NoSuchPatient, TamperedRow
from pericard_server.fleet.losses import Losses
from pericard_server.fleet.models import Assignment
from pericard_server.records import patients, store
from pericard_server.records.data_keys import DataKeys
from pericard_server.records.models import Access, DataKey, Patient, Reading, Refusal
from pericard_server.records.store import Records
from pericard_server.records.suites import DEFAULT_SUITE, SUITES

pytestmark = pytest.mark.django_db(transaction=True)
START_US = 1_760_000_000_000_000


def frame(seq: int, device: int = 7, payload: bytes = b'{"age": 60}') -> OpenedFrame:
    return OpenedFrame(
        device=device,
        epoch=1,
        boot=2,
        seq=seq,
        type=FrameType.VITALS,
        received_at_us=START_US + seq * 1_000_000,
        payload=payload,
    )


def records_of(folder: Path, suite: str = DEFAULT_SUITE.name) -> Records:
    """The records of the hospital whose keys are in `folder`."""
    keys = KeyFolder(folder, provider("cryptography"))
    keys.create()
    return Records(DataKeys(keys), suite, Losses(keys))


@pytest.fixture(params=SUITES)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    patient = Patient.objects.create(pseudonym="p-1")
    Patient.objects.create(pseudonym="p-2")
    Assignment.objects.create(device=7, patient=patient, since=datetime.fromtimestamp(START_US / 1e6, UTC))
    suite: str = request.param
    return records_of(tmp_path, suite)


def test_what_is_stored_opens_in_order(records: Records) -> None:
    stored = records.commit([frame(2, payload=b"c"), frame(0, payload=b"a"), frame(1, payload=b"b")])
    assert (stored.new, stored.duplicates) == (3, 0)
    assert [row.payload for row in records.vitals("p-1", "tester", "test")] == [b"a", b"b", b"c"]
    assert Access.objects.values_list("who", "patient", "rows", "why").get() == ("tester", "p-1", 3, "test")


def test_a_time_range_is_half_open(records: Records) -> None:
    records.commit(frame(n) for n in range(5))
    opened = records.vitals("p-1", "tester", "test", START_US + 1_000_000, START_US + 3_000_000)
    assert [row.received_at_us - START_US for row in opened] == [1_000_000, 2_000_000]


def test_a_frame_seen_twice_is_stored_once(records: Records) -> None:
    records.commit([frame(0), frame(1)])
    again = records.commit([frame(1), frame(2)])
    assert (again.new, again.duplicates) == (1, 1)
    assert Reading.objects.count() == 3


def test_a_device_without_a_patient_is_stored_and_belongs_to_nobody(records: Records) -> None:
    records.commit([frame(0, device=9)])
    assert Reading.objects.get().patient is None
    assert records.vitals("p-1", "tester", "test") == []


def test_payloads_are_not_in_the_row(records: Records) -> None:
    records.commit([frame(0, payload=b"planted marker")])
    assert b"planted marker" not in bytes(Reading.objects.get().sealed)


def test_two_patients_have_two_data_keys(records: Records) -> None:
    records.commit([frame(0), frame(0, device=9)])
    assert sorted(DataKey.objects.values_list("owner", flat=True)) == ["device-9", "patient-p-1"]


CHANGES: dict[str, dict[str, Any]] = {
    "payload": {"sealed": b"\0" * 60},
    "device": {"device": 8},
    "epoch": {"epoch": 2},
    "boot": {"boot": 3},
    "seq": {"seq": 77},
    "time": {"received_at_us": F("received_at_us") + 1},
    "suite": {"suite": "rot13"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_column_is_refused_and_counted(records: Records, change: str) -> None:
    records.commit([frame(0), frame(1)])
    Reading.objects.filter(seq=1).update(**CHANGES[change])
    with pytest.raises(TamperedRow, match="restore it from a backup"):
        records.vitals("p-1", "tester", "test")
    assert Refusal.objects.get(reason="tampered row").count == 1


def test_a_row_moved_to_another_patient_is_refused(records: Records) -> None:
    records.commit([frame(0)])
    Reading.objects.update(patient="p-2")
    with pytest.raises(TamperedRow):
        records.vitals("p-2", "tester", "test")


def test_a_data_key_moved_to_another_owner_is_refused(records: Records, tmp_path: Path) -> None:
    records.commit([frame(0)])
    DataKey.objects.update(owner="patient-p-2")
    with pytest.raises(TamperedRow, match="data key"):
        records_of(tmp_path).vitals("p-1", "tester", "test")


def test_another_hospitals_wrapping_key_opens_nothing(records: Records, tmp_path: Path) -> None:
    records.commit([frame(0)])
    with pytest.raises(TamperedRow):
        records_of(tmp_path / "other").vitals("p-1", "tester", "test")


def test_a_failed_commit_leaves_nothing_and_poisons_no_key(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data key of a rolled-back transaction must not seal a later row of the same number."""

    def fail(rows: list[tuple[object, ...]]) -> int:
        raise OSError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_insert", fail)
        with pytest.raises(OSError, match="disk"):
            records.commit([frame(0)])
    assert not DataKey.objects.exists()
    records.commit([frame(0, device=9)])
    records.commit([frame(0, payload=b"kept")])
    restarted = records_of(tmp_path)
    assert [row.payload for row in restarted.vitals("p-1", "tester", "test")] == [b"kept"]


def test_an_unknown_patient_is_a_clear_error(records: Records) -> None:
    with pytest.raises(NoSuchPatient, match="patient list"):
        records.vitals("p-9", "tester", "test")


def test_the_waveform_is_apart_from_the_vitals(records: Records) -> None:
    block = frame(1, payload=b"block")
    block.type = FrameType.WAVEFORM
    records.commit([frame(0, payload=b"vitals"), block])
    assert [row.payload for row in records.vitals("p-1", "tester", "test")] == [b"vitals"]
    assert [row.payload for row in records.waveform("p-1", "tester", "test")] == [b"block"]
    assert [row.payload for row in records.waveform("p-2", "tester", "test")] == []
    assert list(Access.objects.values_list("patient", "rows")) == [("p-1", 1), ("p-1", 1), ("p-2", 0)]


@pytest.mark.parametrize("pseudonym", ["", "a/b", "a%2fb", "..", "a?", "a b", "a\n", "ö", "x" * 65, "-a"])
def test_a_pseudonym_is_a_name_that_leads_nowhere(pseudonym: str) -> None:
    with pytest.raises(UsageError, match="a pseudonym has"):
        patients.register(pseudonym)
    assert not Patient.objects.exists()
    for good in ("7", "p-1", "a_b.c", "x" * 64):
        patients.register(good)
