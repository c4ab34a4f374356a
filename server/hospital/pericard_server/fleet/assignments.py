"""Which device serves which patient, and from when to when."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from pericard_server.fleet.models import Assignment


@dataclass(frozen=True)
class Served:
    """The patients whom some devices served."""

    periods: dict[int, list[tuple[float, float, str]]]  # by device: from, to (Unix seconds), pseudonym

    def patient(self, device: int, at_us: int) -> str | None:
        """The patient whom the device served at that time (Unix µs), or None if it served nobody."""
        at = at_us / 1e6
        for since, until, patient in self.periods.get(device, ()):
            if since <= at < until:
                return patient
        return None


def served_by(devices: Collection[int]) -> Served:
    """Whom each of the devices has served so far."""
    found: dict[int, list[tuple[float, float, str]]] = {}
    for one in Assignment.objects.filter(device__in=devices):
        until = math.inf if one.until is None else one.until.timestamp()
        found.setdefault(one.device, []).append((one.since.timestamp(), until, one.patient_id))
    return Served(found)


def assign(device: int, pseudonym: str) -> None:
    """Has `device` serve a registered patient from now on, and nobody else."""
    now = datetime.now(UTC)
    with transaction.atomic():
        Assignment.objects.filter(device=device, until=None).update(until=now)
        Assignment.objects.create(device=device, patient_id=pseudonym, since=now)


def now_serving() -> dict[int, str]:
    """The pseudonym of whom each assigned device serves now, by device."""
    return dict(Assignment.objects.filter(until=None).order_by("device").values_list("device", "patient_id"))
