"""Lost devices. Invariant: a lost device's frames are not stored, its readings not given unasked."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from pericard_edge.kms import TokenDenied
from pericard_protocol.device.frame import FrameType
from pericard_protocol.errors import Unavailable, UsageError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_protocol.uplink.providers import provider
from pericard_server.custody.folder import KeyFolder
from pericard_server.fleet import assignments, losses
from pericard_server.fleet.losses import FRESH_SECONDS, SILENCE_SECONDS, DeviceLoss, Losses
from pericard_server.fleet.models import Assignment, Loss
from pericard_server.records import patients, quarantine
from pericard_server.records.data_keys import DataKeys
from pericard_server.records.models import Access, Reading, Refusal
from pericard_server.records.store import Records
from pericard_server.records.suites import DEFAULT_SUITE
from pericard_server.records.summary import summarise

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = 1_000_000
START_US = 1_760_000_000 * SECOND


class Register:
    """A KMS's word on lost devices, that a test may change or take away; counts the questions."""

    def __init__(self) -> None:
        self.told: list[DeviceLoss] = []
        self.away = False
        self.asked = 0
        self.now = 0.0

    def lost_devices(self, ended: Collection[tuple[int, int]]) -> Sequence[DeviceLoss]:
        self.asked += 1
        if self.away:
            raise Unavailable("no answer")
        return [one for one in self.told if one.until_us is None or (one.device, one.since_us) not in ended]

    def tell(self, since: int, until: int | None = None) -> None:
        """Device 7 was lost from second `since` to second `until`; it is asked for that at once."""
        end = None if until is None else START_US + until * SECOND
        self.told = [DeviceLoss(7, START_US + since * SECOND, end)]
        self.now += FRESH_SECONDS


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def records(tmp_path: Path, register: Register) -> Records:
    keys = KeyFolder(tmp_path, provider("cryptography"))
    keys.create()
    patients.register("p-1")
    for device in (7, 8):
        assignments.assign(device, "p-1")
    Assignment.objects.update(since="2020-01-01T00:00Z")
    return Records(DataKeys(keys), DEFAULT_SUITE.name, Losses(register, lambda: register.now))


def frame(second: int, device: int = 7, kind: FrameType = FrameType.VITALS) -> OpenedFrame:
    return OpenedFrame(
        device=device,
        boot=1,
        seq=second,
        type=kind,
        received_at_us=START_US + second * SECOND,
        payload=f"{device}/{second}".encode(),
    )


def given(records: Records, quarantined: bool = False) -> list[str]:
    opened = records.vitals("p-1", "tester", "test", quarantined=quarantined)
    return [row.payload.decode() for row in opened]


def test_a_lost_devices_frames_are_refused_one_by_one(records: Records, register: Register) -> None:
    register.tell(since=10)
    stored = records.commit([frame(9), frame(10), frame(11), frame(11, device=8)])
    assert (stored.new, stored.duplicates, stored.refused) == (2, 0, 2)
    assert sorted(Reading.objects.values_list("device", "seq")) == [(7, 9), (8, 11)]
    assert Refusal.objects.get(reason="lost device").count == 2


def test_a_token_that_may_not_ask_is_told_with_what_is_missing_and_no_frame_is_taken(
    records: Records, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(ended: object) -> Sequence[DeviceLoss]:
        raise TokenDenied("GET devices/quarantine", "server")

    monkeypatch.setattr(register, "lost_devices", denied)
    with pytest.raises(Unavailable, match="lacks the policy `server`"):
        records.commit([frame(9)])
    assert not Reading.objects.exists()


def test_what_came_since_the_loss_is_given_to_nobody_unasked(records: Records, register: Register) -> None:
    block = frame(12, kind=FrameType.WAVEFORM)
    records.commit([frame(9), frame(10), frame(11), frame(10, device=8), block])
    register.tell(since=10)
    assert given(records) == ["7/9", "8/10"]
    assert records.waveform("p-1", "tester", "test") == []
    assert given(records, quarantined=True) == ["7/9", "7/10", "8/10", "7/11"]
    assert list(Access.objects.values_list("rows", "quarantined")) == [(2, False), (0, False), (4, True)]
    assert summarise().quarantined == 3


def test_a_found_device_serves_again_and_late_frames_of_its_loss_are_held(
    records: Records, register: Register
) -> None:
    records.commit([frame(10)])
    register.tell(since=10)
    assert records.commit([frame(11)]).refused == 1
    register.tell(since=10, until=20)
    assert records.commit([frame(12), frame(19), frame(20)]).refused == 0
    assert given(records) == ["7/20"]
    assert given(records, quarantined=True) == ["7/10", "7/12", "7/19", "7/20"]


def test_a_release_is_of_what_is_stored(records: Records, register: Register) -> None:
    records.commit([frame(10), frame(11)])
    register.tell(since=10)
    given(records)
    assert quarantine.release_readings(7, "tester", "it was in the patient's bag") == 2
    assert given(records) == ["7/10", "7/11"]
    register.tell(since=10, until=20)
    records.commit([frame(12)])
    assert given(records) == ["7/10", "7/11"]
    (shown,) = quarantine.quarantines()
    assert (shown.held, shown.loss.released_by) == (1, "tester")
    assert quarantine.release_readings(7, "tester", "again") == 1
    assert given(records) == ["7/10", "7/11", "7/12"]
    with pytest.raises(UsageError, match="never lost"):
        quarantine.release_readings(8, "tester", "none")


def test_a_device_may_be_lost_again(records: Records, register: Register) -> None:
    register.tell(since=10, until=20)
    records.commit([frame(12), frame(25)])
    quarantine.release_readings(7, "tester", "right")
    assert given(records) == ["7/12", "7/25"]
    register.tell(since=10)  # the operator names the earlier time again
    assert given(records) == []
    register.tell(since=30)  # found unheard of, and lost anew
    assert given(records) == []
    assert list(Loss.objects.order_by("since_us").values_list("until_us", flat=True)) == [
        START_US + 30 * SECOND,
        None,
    ]
    register.tell(since=30, until=40)
    assert records.commit([frame(50)]).new == 1
    assert given(records) == ["7/50"]


def test_the_register_is_asked_now_and_then(records: Records, register: Register) -> None:
    for _ in range(3):
        records.commit([frame(1)])
    assert register.asked == 1
    register.now += FRESH_SECONDS
    records.commit([frame(1)])
    assert register.asked == 2


def test_a_silent_register_is_believed_for_a_minute_and_then_no_frame_is_taken(
    records: Records, register: Register
) -> None:
    register.tell(since=10)
    records.commit([frame(1)])
    register.away = True
    register.now += SILENCE_SECONDS
    assert records.commit([frame(2), frame(11)]).refused == 1
    register.now += 1
    for ask in (lambda: records.commit([frame(3)]), lambda: records.vitals("p-1", "tester", "test")):
        with pytest.raises(Unavailable, match="which devices are lost"):
            ask()
    assert Reading.objects.count() == 2
    register.away = False
    register.now += FRESH_SECONDS
    assert records.commit([frame(3)]).new == 1


def test_a_register_that_was_never_heard_lets_no_frame_in(records: Records, register: Register) -> None:
    register.away = True
    with pytest.raises(Unavailable):
        records.commit([frame(1)])
    assert not Reading.objects.exists()


def test_an_operator_says_what_is_lost_where_there_is_no_kms(records: Records) -> None:
    losses.note_lost(7, START_US + 10 * SECOND, "tester", "left in a taxi")
    assert records.commit([frame(9), frame(10)]).refused == 1
    for since in (START_US, START_US + 10 * SECOND):
        with pytest.raises(UsageError, match="lost already"):
            losses.note_lost(7, since, "tester", "again")
    with pytest.raises(UsageError, match="not one to come"):
        losses.note_lost(8, 2**60, "tester", "tomorrow")
    losses.note_found(7)
    assert records.commit([frame(11)]).refused == 0
    assert given(records) == ["7/9"]
    with pytest.raises(UsageError, match="not lost"):
        losses.note_found(7)
