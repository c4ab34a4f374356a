"""The readings of lost devices: how many there are, and how an operator lets them go."""

import hashlib
from dataclasses import dataclass

import orjson
from django.db.models import Max, QuerySet

from pericard_protocol.errors import UsageError
from pericard_server.fleet import losses
from pericard_server.fleet.models import Loss
from pericard_server.records.models import Reading


@dataclass(frozen=True)
class Quarantine:
    """A loss, and which readings it holds back: how many, and the newest of them (0 where there is none)."""

    loss: Loss
    held: int
    newest: int

    @property
    def name(self) -> str:
        """What a release names: this loss with these bounds, and the readings held back up to now.

        The digest is no secret; it tells a loss that has changed from the one that was seen.
        """
        loss = self.loss
        seen = orjson.dumps((loss.device, loss.since_us, loss.until_us, loss.released_through))
        return f"{loss.pk}-{self.newest}-{hashlib.sha256(seen).hexdigest()[:12]}"


def quarantines() -> list[Quarantine]:
    """Every loss, by device and time."""
    return [_quarantine(loss, _held_by(loss)) for loss in losses.all_losses()]


def _held_by(loss: Loss) -> QuerySet[Reading]:
    return Reading.objects.filter(losses.in_quarantine(loss.pk))


def _quarantine(loss: Loss, held: QuerySet[Reading]) -> Quarantine:
    return Quarantine(loss, held.count(), held.aggregate(newest=Max("pk"))["newest"] or 0)


def release_readings(name: str, who: str, why: str) -> int:
    """Lets go the readings that were held back when `Quarantine.name` was shown. How many these are.

    What came since stays; so does what another loss holds back.

    Raises:
        UsageError: there is no such name, or the loss has changed since: its bounds, or what was released.
    """
    number, _, rest = name.partition("-")
    through = rest.partition("-")[0]
    if not (number.isdecimal() and through.isdecimal() and max(len(number), len(through)) < 19):
        raise UsageError("give the name as `pericard server quarantine list` shows it")
    loss = Loss.objects.filter(pk=int(number)).first()
    if loss is None:
        raise UsageError("no loss has this name: `pericard server quarantine list` shows them")
    seen = _quarantine(loss, _held_by(loss).filter(pk__lte=int(through)))
    if name != seen.name:
        raise UsageError("what is held back has changed since it was listed: list it again, and look")
    losses.note_release(loss, seen.newest, who, why)
    return seen.held
