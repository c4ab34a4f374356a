"""The readings of lost devices: how many there are, and how an operator lets them go."""

from dataclasses import dataclass

from django.db.models import Max

from pericard_server.fleet import losses
from pericard_server.fleet.models import Loss
from pericard_server.records.models import Reading


@dataclass(frozen=True)
class Quarantine:
    """A loss, and how many readings of its time are held back."""

    loss: Loss
    held: int


def quarantines() -> list[Quarantine]:
    """Every loss, by device and time."""
    return [Quarantine(loss, _held(loss)) for loss in losses.all_losses()]


def _held(loss: Loss) -> int:
    readings = Reading.objects.filter(
        device=loss.device, received_at_us__gte=loss.since_us, pk__gt=loss.released_through
    )
    if loss.until_us is not None:
        readings = readings.filter(received_at_us__lt=loss.until_us)
    return readings.count()


def release_readings(device: int, who: str, why: str) -> int:
    """Lets go the stored readings of `device`; those that come later are held back again. How many these are.

    Raises:
        UsageError: the device was never lost.
    """
    held = Reading.objects.filter(losses.in_quarantine(), device=device).count()
    newest = Reading.objects.aggregate(newest=Max("pk"))["newest"] or 0
    losses.note_release(device, newest, who, why)
    return held
