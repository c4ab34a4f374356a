"""Stores opened frames sealed, and opens stored ones again. The only reader and writer of `Reading`."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson
from django.db import connection, transaction
from django.db.models import F, QuerySet

from pericard_protocol.device.frame import FrameType
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_server.errors import NoSuchPatient, TamperedRow
from pericard_server.fleet import losses
from pericard_server.fleet.assignments import served_by
from pericard_server.fleet.losses import Losses
from pericard_server.records.data_keys import DataKeys, quarter
from pericard_server.records.models import Access, DataKey, Patient, Reading, Refusal
from pericard_server.records.seal import open_row, seal_row

Value = int | str | bytes | None

_DAY_US = 86_400_000_000
_COLUMNS = (
    *("device", "epoch", "boot", "seq", "type", "received_at_us", "patient_id", "suite"),
    *("arrived_at_us", "key_id", "sealed"),
)
_INSERT = (
    f"INSERT INTO {Reading._meta.db_table} ({', '.join(_COLUMNS)})"  # noqa: S608
    f" VALUES ({', '.join(['%s'] * len(_COLUMNS))})"
    " ON CONFLICT (device, epoch, boot, seq) DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """How many frames of a batch were stored, were stored before, and were refused as a lost device's."""

    new: int
    duplicates: int
    refused: int


class OpenedReading(NamedTuple):
    """A row opened again; `payload` is what the device wrote."""

    device: int
    received_at_us: int
    payload: bytes


class Records:
    """The hospital's sealed readings."""

    def __init__(
        self, data_keys: DataKeys, suite: str, known_losses: Losses, clock: Callable[[], float] = time.time
    ) -> None:
        """`suite` seals what comes; `known_losses` says what is lost; `clock` gives Unix seconds."""
        self._clock = clock
        self._data_keys = data_keys
        self._suite = suite
        self._losses = known_losses
        self._writing = threading.Lock()  # SQLite has one writer: wait here, rather than fail as busy

    def commit(self, frames: Iterable[OpenedFrame]) -> Stored:
        """Seals and stores the frames that are not stored yet, in one durable transaction.

        Frames of a lost device are not stored, but counted as refused.

        Raises:
            Unavailable: it cannot be known which devices are lost, or a data key cannot be had.
        """
        came, arrived_at_us = list(frames), int(self._clock() * 1e6)
        self._losses.refresh()
        with self._writing, transaction.atomic():
            read = losses.without_lost(came)
            refused = len(came) - len(read)
            if refused:
                _count(losses.REASON, refused)
            served = served_by({frame.device for frame in read})
            patients = [served.patient(frame.device, frame.received_at_us) for frame in read]
            owners = [_owner(*pair) for pair in zip(read, patients, strict=True)]
            keys = self._data_keys.keys_for(set(owners))
            rows = [
                self._sealed(frame, patient, arrived_at_us, *keys[owner])
                for frame, patient, owner in zip(read, patients, owners, strict=True)
            ]
            new = _insert(rows)
        return Stored(new, len(read) - new, refused)

    def patients(self) -> list[str]:
        """The pseudonyms that have readings, sorted."""
        held = Reading.objects.exclude(patient=None).values_list("patient_id", flat=True).distinct()
        return sorted(name for name in held if name is not None)

    def vitals(
        self,
        pseudonym: str,
        who: str,
        why: str,
        since_us: int = 0,
        until_us: int = 2**63 - 1,
        *,
        quarantined: bool = False,
    ) -> list[OpenedReading]:
        """The patient's vitals received in since..until (Unix µs), oldest first; the access is logged.

        Those that came while their device was lost are given only when `quarantined` asks for them, too.

        Raises:
            NoSuchPatient: the pseudonym is not registered.
            TamperedRow: a row does not open; none is returned, since a gap would bias every statistic.
            Unavailable: it cannot be known which devices are lost, or a data key cannot be had.
        """
        return self._read(FrameType.VITALS, pseudonym, who, why, since_us, until_us, quarantined)

    def waveform(
        self,
        pseudonym: str,
        who: str,
        why: str,
        since_us: int = 0,
        until_us: int = 2**63 - 1,
        *,
        quarantined: bool = False,
    ) -> list[OpenedReading]:
        """The patient's waveform blocks (pericard_protocol.device.waveform), as `vitals` gives vitals."""
        return self._read(FrameType.WAVEFORM, pseudonym, who, why, since_us, until_us, quarantined)

    def _read(
        self,
        kind: FrameType,
        pseudonym: str,
        who: str,
        why: str,
        since_us: int,
        until_us: int,
        quarantined: bool,
    ) -> list[OpenedReading]:
        self._losses.refresh()
        if not Patient.objects.filter(pk=pseudonym).exists():
            raise NoSuchPatient(f"no patient {pseudonym!r}: `pericard server patient list` shows all")
        rows = Reading.objects.filter(
            patient=pseudonym,
            type=kind,
            received_at_us__gte=since_us,
            received_at_us__lt=until_us,
        ).order_by("received_at_us", "boot", "seq")
        if not quarantined:
            rows = rows.exclude(losses.in_quarantine())
        opened = list(self._opened(rows))
        Access.objects.create(
            who=who, patient_id=pseudonym, rows=len(opened), why=why, quarantined=quarantined
        )
        return opened

    def count_refusal(self, reason: str) -> None:
        """Counts one refusal."""
        with self._writing, transaction.atomic():
            _count(reason, 1)

    def _sealed(
        self, frame: OpenedFrame, patient: str | None, arrived_at_us: int, key: DataKey, data_key: bytes
    ) -> tuple[Value, ...]:
        """The values of `_COLUMNS`."""
        clear: tuple[Value, ...] = (
            *(frame.device, frame.epoch, frame.boot, frame.seq, frame.type),
            *(frame.received_at_us, patient, self._suite, arrived_at_us),
        )
        return *clear, key.pk, seal_row(self._suite, data_key, _identity(clear), frame.payload)

    def _opened(self, rows: QuerySet[Reading]) -> Iterator[OpenedReading]:
        for row in rows.select_related("key").iterator():
            try:
                data_key = self._data_keys.unwrap(row.key)
                payload = open_row(row.suite, data_key, _identity(_clear(row)), bytes(row.sealed))
            except TamperedRow as error:
                self.count_refusal(error.reason)
                raise TamperedRow(
                    f"reading {row.pk} (device {row.device}, boot {row.boot}, seq {row.seq}): {error};"
                    " restore it from a backup before analysing again"
                ) from None
            yield OpenedReading(row.device, row.received_at_us, payload)


def _count(reason: str, refusals: int) -> None:
    Refusal.objects.get_or_create(reason=reason)
    Refusal.objects.filter(reason=reason).update(count=F("count") + refusals)


def _clear(row: Reading) -> tuple[Value, ...]:
    clear = (
        row.device,
        row.epoch,
        row.boot,
        row.seq,
        row.type,
        row.received_at_us,
        row.patient_id,
        row.suite,
    )
    # A row of an earlier release has no time of arrival, and none in its identity.
    return clear if row.arrived_at_us is None else (*clear, row.arrived_at_us)


def _identity(clear: tuple[Value, ...]) -> bytes:
    """Every clear column of a row, unambiguously (JSON): what its payload is bound to."""
    return orjson.dumps(("reading", *clear))


def _insert(rows: list[tuple[Value, ...]]) -> int:
    """Stores the rows whose frames are not stored yet; how many those are.

    One statement for all of a batch: a model object for each row would cost more than its seal.
    """
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
        count: int = cursor.rowcount
    return count


def _owner(frame: OpenedFrame, patient: str | None) -> tuple[str, str]:
    """Whose data key, of which quarter, seals the frame."""
    owner = f"device-{frame.device}" if patient is None else f"patient-{patient}"
    return owner, _quarter_of_day(frame.received_at_us // _DAY_US)


@lru_cache(8)
def _quarter_of_day(day: int) -> str:
    return quarter(day * _DAY_US)  # a quarter ends with a day
