"""Stores opened frames sealed, and opens stored ones again. The only reader and writer of `Reading`."""

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from pericard_protocol.frame import FrameType
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_server.errors import NoSuchPatient, TamperedRow
from pericard_server.records.keyring import Keyring, quarter
from pericard_server.records.models import Access, Assignment, DataKey, Patient, Reading, Refusal
from pericard_server.records.seal import SUITES, SuiteName, seal, unseal


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch."""

    new: int
    duplicates: int


class OpenedReading(NamedTuple):
    """A row opened again; `payload` is what the device wrote."""

    device: int
    received_at_us: int
    payload: bytes


class Records:
    """The hospital's sealed readings."""

    def __init__(self, keyring: Keyring, suite: SuiteName) -> None:
        self._keyring = keyring
        self._suite = suite
        self._writing = threading.Lock()  # SQLite has one writer; waiting here beats its busy error

    def commit(self, frames: Iterable[OpenedFrame]) -> Stored:
        """Seals and stores the frames that are not stored yet, in one durable transaction."""
        wanted = {(frame.device, frame.epoch, frame.boot, frame.seq): frame for frame in frames}
        if not wanted:
            return Stored(0, 0)
        with self._writing, transaction.atomic():
            known = _known(wanted)
            patients = _patients({device for device, *_ in wanted})
            keys: dict[tuple[str, str], tuple[DataKey, bytes]] = {}
            rows = [
                self._sealed(frame, _serving(patients, frame), keys)
                for identity, frame in wanted.items()
                if identity not in known
            ]
            Reading.objects.bulk_create(rows)
        return Stored(len(rows), len(wanted) - len(rows))

    def patients(self) -> list[str]:
        """The pseudonyms that have readings, sorted."""
        held = Reading.objects.exclude(patient=None).values_list("patient_id", flat=True).distinct()
        return sorted(name for name in held if name is not None)

    def vitals(
        self, pseudonym: str, who: str, why: str, since_us: int = 0, until_us: int = 2**63 - 1
    ) -> list[OpenedReading]:
        """The patient's vitals received in since..until (Unix µs), oldest first; the access is logged.

        Raises:
            NoSuchPatient: the pseudonym is not registered.
            TamperedRow: a row does not open; none is returned, since a gap would bias every statistic.
        """
        if not Patient.objects.filter(pk=pseudonym).exists():
            raise NoSuchPatient(f"no patient {pseudonym!r}: `pericard server patient list` shows all")
        rows = Reading.objects.filter(
            patient=pseudonym,
            type=FrameType.VITALS,
            received_at_us__gte=since_us,
            received_at_us__lt=until_us,
        ).order_by("received_at_us", "boot", "seq")
        opened = list(self._opened(rows))
        Access.objects.create(who=who, patient_id=pseudonym, rows=len(opened), why=why)
        return opened

    def refuse(self, reason: str) -> None:
        """Counts one refusal."""
        with self._writing, transaction.atomic():
            Refusal.objects.get_or_create(reason=reason)
            Refusal.objects.filter(reason=reason).update(count=F("count") + 1)

    def _sealed(
        self, frame: OpenedFrame, patient: str | None, keys: dict[tuple[str, str], tuple[DataKey, bytes]]
    ) -> Reading:
        owner = f"device-{frame.device}" if patient is None else f"patient-{patient}"
        wanted = (owner, quarter(frame.received_at_us))
        if wanted not in keys:
            keys[wanted] = self._keyring.key_for(*wanted)
        key, data_key = keys[wanted]
        row = Reading(
            device=frame.device,
            epoch=frame.epoch,
            boot=frame.boot,
            seq=frame.seq,
            type=frame.type,
            received_at_us=frame.received_at_us,
            patient_id=patient,
            key=key,
            suite=self._suite,
        )
        row.sealed = seal(self._suite, data_key, _identity(row), frame.payload)
        return row

    def _opened(self, rows: QuerySet[Reading]) -> Iterator[OpenedReading]:
        for row in rows.select_related("key").iterator():
            try:
                if row.suite not in SUITES:
                    raise TamperedRow("an unknown at-rest suite")
                payload = unseal(row.suite, self._keyring.unwrap(row.key), _identity(row), bytes(row.sealed))
            except TamperedRow as error:
                self.refuse(error.reason)
                raise TamperedRow(
                    f"reading {row.pk} (device {row.device}, boot {row.boot}, seq {row.seq}): {error};"
                    " restore it from a backup before analysing again"
                ) from None
            yield OpenedReading(row.device, row.received_at_us, payload)


def _identity(row: Reading) -> bytes:
    """Every clear column of a row, unambiguously: what its payload is bound to."""
    return json.dumps(
        [
            "reading",
            row.device,
            row.epoch,
            row.boot,
            row.seq,
            row.type,
            row.received_at_us,
            row.patient_id,
            row.suite,
        ]
    ).encode()


def _known(wanted: dict[tuple[int, int, int, int], OpenedFrame]) -> set[tuple[int, int, int, int]]:
    rows = Reading.objects.filter(
        device__in={device for device, *_ in wanted},
        boot__in={boot for *_, boot, _ in wanted},
        seq__gte=min(seq for *_, seq in wanted),
        seq__lte=max(seq for *_, seq in wanted),
    )
    return set(rows.values_list("device", "epoch", "boot", "seq"))


def _patients(devices: set[int]) -> list[Assignment]:
    return list(Assignment.objects.filter(device__in=devices))


def _serving(assignments: list[Assignment], frame: OpenedFrame) -> str | None:
    """The patient whom the device served when the frame was received; nobody is a valid answer."""
    at = frame.received_at_us / 1e6
    for one in assignments:
        if (
            one.device == frame.device
            and one.since.timestamp() <= at
            and (one.until is None or at < one.until.timestamp())
        ):
            return one.patient_id
    return None
