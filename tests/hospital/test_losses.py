"""Lost devices. Invariant: a lost device's frames are not stored, its readings not given unasked."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from pericard_edge.kms import TokenDenied
from pericard_protocol.device.frame import FrameType
from pericard_protocol.errors import Unavailable, UsageError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_protocol.uplink.providers import provider
from pericard_server.custody.folder import KeyFolder
from pericard_server.errors import TamperedRow
from pericard_server.fleet import assignments, losses
from pericard_server.fleet.losses import FRESH_SECONDS, SILENCE_SECONDS, DeviceLoss, Losses
from pericard_server.fleet.models import Assignment, Loss
from pericard_server.records import patients, quarantine
from pericard_server.records.data_keys import DataKeys
from pericard_server.records.models import Access, Reading, Refusal
from pericard_server.records.seal import seal_row
from pericard_server.records.store import Records, Stored, _clear, _identity
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
        self.slow = 0.0  # how long an answer takes

    def lost_devices(self) -> Sequence[DeviceLoss]:
        self.asked += 1
        if self.away:
            raise Unavailable("no answer")
        self.now += self.slow
        return self.told

    def tell(self, *losses: tuple[int, int | None]) -> None:
        """Device 7 was lost from one second to another, each time; it is asked for that at once."""
        self.told = [
            DeviceLoss(7, START_US + since * SECOND, None if until is None else START_US + until * SECOND)
            for since, until in losses
        ]
        self.now += FRESH_SECONDS


class HospitalRecords(Records):
    """Records whose frames arrive when a test says: else half a second after the last was received."""

    arrives_at: int | None = None

    def commit(self, frames: Iterable[OpenedFrame]) -> Stored:
        came = list(frames)
        at = max(frame.received_at_us for frame in came) + SECOND // 2
        if self.arrives_at is not None:
            at = START_US + self.arrives_at * SECOND
        self._clock = lambda: at / 1e6
        return super().commit(came)


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def records(tmp_path: Path, register: Register) -> HospitalRecords:
    keys = KeyFolder(tmp_path, provider("cryptography"))
    keys.create()
    patients.register("p-1")
    for device in (7, 8):
        assignments.assign(device, "p-1")
    Assignment.objects.update(since="2020-01-01T00:00Z")
    return HospitalRecords(DataKeys(keys), DEFAULT_SUITE.name, Losses(register, lambda: register.now))


def frame(second: int, device: int = 7, kind: FrameType = FrameType.VITALS) -> OpenedFrame:
    return OpenedFrame(
        device=device,
        boot=1,
        seq=second % 2**32,
        type=kind,
        received_at_us=START_US + second * SECOND,
        payload=f"{device}/{second}".encode(),
    )


def given(records: HospitalRecords, quarantined: bool = False) -> list[str]:
    opened = records.vitals("p-1", "tester", "test", quarantined=quarantined)
    return [row.payload.decode() for row in opened]


def test_a_lost_devices_frames_are_refused_one_by_one(records: HospitalRecords, register: Register) -> None:
    register.tell((10, None))
    stored = records.commit([frame(9), frame(10), frame(11), frame(11, device=8)])
    assert (stored.new, stored.duplicates, stored.refused) == (2, 0, 2)
    assert sorted(Reading.objects.values_list("device", "seq")) == [(7, 9), (8, 11)]
    assert Refusal.objects.get(reason="lost device").count == 2


def test_a_token_that_may_not_ask_is_told_with_what_is_missing_and_no_frame_is_taken(
    records: HospitalRecords, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> Sequence[DeviceLoss]:
        raise TokenDenied("GET devices/quarantine", "server")

    monkeypatch.setattr(register, "lost_devices", denied)
    with pytest.raises(Unavailable, match="lacks the policy `server`"):
        records.commit([frame(9)])
    assert not Reading.objects.exists()


def test_what_came_since_the_loss_is_given_to_nobody_unasked(
    records: HospitalRecords, register: Register
) -> None:
    block = frame(12, kind=FrameType.WAVEFORM)
    for one in (frame(9), frame(10), frame(11), frame(10, device=8), block):
        records.commit([one])
    register.tell((10, None))
    assert given(records) == ["7/9", "8/10"]
    assert records.waveform("p-1", "tester", "test") == []
    assert given(records, quarantined=True) == ["7/9", "7/10", "8/10", "7/11"]
    assert list(Access.objects.values_list("rows", "quarantined")) == [(2, False), (0, False), (4, True)]
    assert summarise().quarantined == 3


def test_a_found_device_serves_again_and_late_frames_of_its_loss_are_held(
    records: HospitalRecords, register: Register
) -> None:
    records.commit([frame(10)])
    register.tell((10, None))
    assert records.commit([frame(11)]).refused == 1
    register.tell((10, 20))
    for second in (12, 19, 20):
        assert records.commit([frame(second)]).refused == 0
    assert given(records) == ["7/20"]
    assert given(records, quarantined=True) == ["7/10", "7/12", "7/19", "7/20"]


@pytest.mark.parametrize(
    ("received", "arrives", "doubtful"),
    [
        (9, 9, False),
        (9, 10, True),  # that it was received before the loss is only the gateway's word
        (10, 9, True),  # one of the two clocks is wrong
        (12, 12, True),
        (12, 90, True),  # it waited in a spool
        (21, 19, True),  # dated after the end, and here before it
        (20, 20, False),
        (20, 90, False),
        (90, 60, False),  # clocks differ
        (91, 60, True),  # a clock that is wrong proves nothing
        (86_500, 100, True),
        (-86_300, 100, True),
    ],
)
def test_a_reading_is_in_no_doubt_only_where_both_times_say_so(
    records: HospitalRecords, register: Register, received: int, arrives: int, doubtful: bool
) -> None:
    """The loss is from second 10 to 20."""
    records.arrives_at = arrives
    assert records.commit([frame(received)]).new == 1
    register.tell((10, 20))
    assert bool(given(records)) is not doubtful
    assert given(records, quarantined=True)
    assert [one.held for one in quarantine.quarantines()] == [int(doubtful)]


def test_what_waited_in_a_spool_while_its_device_was_lost_is_stored_and_held(
    records: HospitalRecords, register: Register
) -> None:
    register.tell((10, None))
    records.arrives_at = 15
    assert records.commit([frame(8), frame(9), frame(14)]) == Stored(2, 0, 1)
    assert given(records) == []
    assert given(records, quarantined=True) == ["7/8", "7/9"]


def test_while_a_gateway_may_hold_the_old_key_new_readings_are_held(
    records: HospitalRecords, register: Register
) -> None:
    """The KMS says when the last lease ends, and then that the gateway gave it back sooner."""
    register.tell((10, 4000))
    records.commit([frame(30), frame(50)])
    assert given(records) == []
    register.tell((10, 40))
    assert given(records) == ["7/50"]


def test_a_row_of_an_earlier_release_is_judged_by_the_gateways_time(
    records: HospitalRecords, register: Register
) -> None:
    records.commit([frame(9), frame(12), frame(20)])
    for row in Reading.objects.all():  # as that release sealed it: without a time of arrival
        row.arrived_at_us = None
        key = records._data_keys.unwrap(row.key)
        row.sealed = seal_row(row.suite, key, _identity(_clear(row)), f"7/{row.seq}".encode())
        row.save()
    register.tell((10, 20))
    assert given(records) == ["7/9", "7/20"]


def test_the_time_of_arrival_is_bound(records: HospitalRecords) -> None:
    records.commit([frame(9)])
    for other in (START_US, None):
        Reading.objects.update(arrived_at_us=other)
        with pytest.raises(TamperedRow):
            given(records)


def listed() -> str:
    """The name of the only loss, as an operator reads it."""
    (one,) = quarantine.quarantines()
    return one.name


def test_a_release_is_of_what_was_listed(records: HospitalRecords, register: Register) -> None:
    records.commit([frame(10), frame(11)])
    register.tell((10, None))
    given(records)
    assert quarantine.release_readings(listed(), "tester", "it was in the patient's bag") == 2
    assert given(records) == ["7/10", "7/11"]
    register.tell((10, 20))
    records.commit([frame(12)])
    assert given(records) == ["7/10", "7/11"]
    (shown,) = quarantine.quarantines()
    assert (shown.held, shown.loss.released_by) == (1, "tester")
    records.commit([frame(13)])  # came after the operator looked
    assert quarantine.release_readings(shown.name, "tester", "again") == 1
    assert given(records) == ["7/10", "7/11", "7/12"]
    assert quarantine.release_readings(listed(), "tester", "the last") == 1
    assert given(records) == ["7/10", "7/11", "7/12", "7/13"]


def test_a_release_of_what_has_changed_is_refused(records: HospitalRecords, register: Register) -> None:
    """Two operators, or a loss that the KMS is told of between the list and the release."""
    records.commit([frame(10)])
    register.tell((10, None))
    given(records)
    seen = listed()
    register.tell((10, 20))
    given(records)
    with pytest.raises(UsageError, match="has changed"):
        quarantine.release_readings(seen, "tester", "of before it was found")
    seen = listed()
    assert quarantine.release_readings(seen, "first", "looked at") == 1
    with pytest.raises(UsageError, match="has changed"):
        quarantine.release_readings(seen, "second", "too")
    assert quarantine.quarantines()[0].loss.released_by == "first"
    for name in ("", "7", "1-x-0", "x", f"{2**70}-1-1", seen.replace("-", "_")):
        with pytest.raises(UsageError, match="as `pericard server quarantine list` shows it"):
            quarantine.release_readings(name, "tester", "none")
    with pytest.raises(UsageError, match="no loss"):
        quarantine.release_readings("9999-1-0", "tester", "none")


def test_a_release_lets_nothing_go_of_a_loss_that_nobody_looked_at(
    records: HospitalRecords, register: Register
) -> None:
    records.commit([frame(12), frame(32)])
    register.tell((10, 20))
    given(records)
    seen = listed()
    register.tell((10, 20), (11, None))
    given(records)
    assert quarantine.release_readings(seen, "tester", "of the first loss") == 1
    assert given(records) == []
    second = next(one for one in quarantine.quarantines() if one.loss.until_us is None)
    assert second.held == 2
    assert quarantine.release_readings(second.name, "tester", "too") == 2
    assert given(records) == ["7/12", "7/32"]


def test_a_loss_that_changes_while_it_is_released_is_not(
    records: HospitalRecords, register: Register
) -> None:
    """The row is compared once more in the statement that changes it."""
    records.commit([frame(10)])
    register.tell((10, None))
    given(records)
    seen = Loss.objects.get()
    register.tell((10, 20))
    given(records)
    with pytest.raises(UsageError, match="has changed"):
        losses.note_release(seen, 1, "tester", "late")


def test_a_device_may_be_lost_again(records: HospitalRecords, register: Register) -> None:
    register.tell((10, 20))
    records.commit([frame(12)])
    records.commit([frame(25)])
    quarantine.release_readings(listed(), "tester", "right")
    assert given(records) == ["7/12", "7/25"]
    register.tell((10, None))  # the operator names the earlier time again
    assert given(records) == []
    register.tell((10, 20), (30, None))
    assert given(records) == ["7/25"]  # the first is in doubt once more
    register.tell((10, 20), (30, 40))
    assert records.commit([frame(50)]).new == 1
    assert given(records) == ["7/25", "7/50"]


def test_losses_that_were_over_before_anyone_asked_are_known(
    records: HospitalRecords, register: Register
) -> None:
    for second in (5, 12, 25, 35, 45):
        records.commit([frame(second)])
    register.tell((10, 20), (30, 40))
    assert given(records) == ["7/5", "7/25", "7/45"]


def test_an_answer_is_as_old_as_its_question(records: HospitalRecords, register: Register) -> None:
    """What was told to the KMS since it was asked is not in its answer."""
    register.slow = SILENCE_SECONDS - 1
    assert records.commit([frame(1)]).new == 1
    register.away = True
    register.now += 1
    assert records.commit([frame(2)]).new == 1
    register.now += 1
    with pytest.raises(Unavailable):
        records.commit([frame(3)])


def test_the_register_is_asked_now_and_then(records: HospitalRecords, register: Register) -> None:
    for _ in range(3):
        records.commit([frame(1)])
    assert register.asked == 1
    register.now += FRESH_SECONDS
    records.commit([frame(1)])
    assert register.asked == 2


def test_a_silent_register_is_believed_for_a_minute_and_then_no_frame_is_taken(
    records: HospitalRecords, register: Register
) -> None:
    register.tell((10, None))
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


def test_a_register_that_was_never_heard_lets_no_frame_in(
    records: HospitalRecords, register: Register
) -> None:
    register.away = True
    with pytest.raises(Unavailable):
        records.commit([frame(1)])
    assert not Reading.objects.exists()


def test_an_operator_says_what_is_lost_where_there_is_no_kms(records: HospitalRecords) -> None:
    losses.note_lost(7, START_US + 10 * SECOND, "tester", "left in a taxi")
    assert records.commit([frame(9)]).refused == 0
    assert records.commit([frame(10)]).refused == 1
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
