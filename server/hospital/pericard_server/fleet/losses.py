"""Lost devices: whose frames are refused, and which of their readings are in quarantine.

A loss is known from the KMS, which the operator tells of it (`pericard kms device state 7 lost`), or, for a
site without a KMS, from `pericard server device lost 7`. Either way it is a row of `Loss`, so that a reader
of the records needs nobody else.

While a device is lost, a frame that a gateway received at or after the loss is refused, by itself: the rest
of its record is stored. What is stored is judged by two times: when a gateway says that it received the
frame, and when the frame arrived here. A gateway may lie, and either clock may be wrong, so a reading is in
no doubt only where both agree: before the loss, or after its end. What waited in a gateway's spool while its
device was lost is therefore held back too: that it was received earlier is only the gateway's word.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from django.db import transaction
from django.db.models import BigIntegerField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Coalesce

from pericard_edge.jsonlog import fields
from pericard_protocol.errors import Unavailable, UsageError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame
from pericard_server.fleet.models import Loss

log = logging.getLogger("pericard.server.losses")

# The word under which metrics and `pericard server status` count frames refused because of a loss.
REASON = "lost device"
# The register is asked no more often than this, because the KMS writes each question into its audit log.
FRESH_SECONDS = 10.0
# When the KMS does not answer, its last answer counts for this long. Then frames are no longer taken, and the
# gateways keep them. A session lasts no longer than that, and a new one cannot be opened without the KMS.
SILENCE_SECONDS = 60.0
# By how much a frame may seem to arrive before it was received: clocks differ. What is dated later yet comes
# from a gateway whose clock is wrong, and its date proves nothing.
SKEW_US = 30_000_000


class DeviceLoss(NamedTuple):
    """A device's loss, in Unix µs; `until_us` is None while the device is lost.

    It may lie ahead: the device has a new key, and some gateway may still open frames with the old one.
    """

    device: int
    since_us: int
    until_us: int | None


class DeviceRegister(Protocol):
    """Who knows which devices are lost."""

    def lost_devices(self) -> Sequence[DeviceLoss]:
        """Every loss that it knows.

        Raises:
            Unavailable: it does not answer now.
        """


class Losses:
    """The losses that the hospital knows, kept up to date with a register. Safe to use from many threads."""

    def __init__(self, register: DeviceRegister, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that never go back."""
        self._register, self._clock = register, clock
        self._heard_at: float | None = None
        self._asked_at: float | None = None
        self._asking = threading.Lock()
        self._why = ""

    def refresh(self) -> None:
        """Asks the register, unless it was asked a moment ago.

        Raises:
            Unavailable: the register was not heard for too long to go on by its last word.
        """
        now = self._clock()
        if (self._asked_at is None or now - self._asked_at >= FRESH_SECONDS) and self._asking.acquire(
            blocking=self._heard_at is None  # the first word is worth waiting for; later, one thread asks
        ):
            try:
                self._ask(now)
            finally:
                self._asking.release()
        if self._heard_at is None or self._clock() - self._heard_at > SILENCE_SECONDS:
            raise Unavailable(
                f"the KMS does not say which devices are lost: no frame is taken before it does{self._why}"
            )

    def _ask(self, now: float) -> None:
        self._asked_at = now
        try:
            _note_told(self._register.lost_devices())
        except (Unavailable, UsageError) as error:  # UsageError: the KMS does not let our token ask
            self._why = f" ({error})"
            log.warning("lost devices not heard of", extra=fields(why=str(error)))
        else:
            self._heard_at = now  # what happened since we asked may not be in the answer


def _note_told(told: Sequence[DeviceLoss]) -> None:
    known = {(loss.device, loss.since_us): loss for loss in Loss.objects.all()} if told else {}
    for device, since_us, until_us in told:
        row = known.get((device, since_us))
        if row is not None and row.until_us == until_us:
            continue
        changes: dict[str, int | None] = {"until_us": until_us}
        if until_us is None:  # lost again from the same time on: what was released is in doubt again
            changes["released_through"] = 0
        Loss.objects.update_or_create(
            device=device,
            since_us=since_us,
            defaults=changes,
            create_defaults={**changes, "who": "the KMS", "why": "the KMS has the reason"},
        )
        log.warning("device lost" if until_us is None else "device found", extra=fields(device=device))


def without_lost(frames: Sequence[OpenedFrame]) -> list[OpenedFrame]:
    """The frames that are no lost device's, or were received before its loss."""
    devices = {frame.device for frame in frames}
    lost: dict[int, int] = {}
    for one in Loss.objects.filter(until_us=None, device__in=devices):
        lost[one.device] = min(one.since_us, lost.get(one.device, one.since_us))
    return [
        frame for frame in frames if frame.device not in lost or frame.received_at_us < lost[frame.device]
    ]


def in_quarantine(loss: int | None = None) -> Exists:
    """The condition, on `Reading`, that a reading is in quarantine; with `loss`, for that row alone."""
    received = ExpressionWrapper(OuterRef("received_at_us"), BigIntegerField())
    arrived = Coalesce(OuterRef("arrived_at_us"), OuterRef("received_at_us"), output_field=BigIntegerField())
    losses = Loss.objects.alias(received=received, arrived=arrived).filter(
        # Not both times are before the loss, and not both are after its end.
        Q(received__gte=F("since_us")) | Q(arrived__gte=F("since_us")),
        Q(until_us=None)
        | Q(received__lt=F("until_us"))
        | Q(arrived__lt=F("until_us"))
        | Q(received__gt=F("arrived") + SKEW_US),
        device=OuterRef("device"),
        released_through__lt=OuterRef("pk"),
    )
    return Exists(losses if loss is None else losses.filter(pk=loss))


def note_lost(device: int, since_us: int, who: str, why: str) -> None:
    """Notes that `device` is lost, from `since_us` on, where no KMS keeps the devices.

    Raises:
        UsageError: it is lost already, was lost from the same time on, or the time is to come.
    """
    if since_us > time.time() * 1e6:
        raise UsageError("give a time from which the frames are in doubt, not one to come")
    with transaction.atomic():
        if Loss.objects.filter(Q(until_us=None) | Q(since_us=since_us), device=device).exists():
            raise UsageError(f"device {device} is lost already: `pericard server quarantine list` shows it")
        Loss.objects.create(device=device, since_us=since_us, who=who, why=why)


def note_found(device: int) -> None:
    """Notes that `device` was found, where no KMS keeps the devices; what came meanwhile stays in quarantine.

    Raises:
        UsageError: it is not lost.
    """
    if not Loss.objects.filter(device=device, until_us=None).update(until_us=int(time.time() * 1e6)):
        raise UsageError(f"device {device} is not lost")


def note_release(seen: Loss, through: int, who: str, why: str) -> None:
    """Lets go the readings of one loss, as it was seen, up to row number `through`.

    Raises:
        UsageError: the loss is not as it was seen any more.
    """
    unchanged = Loss.objects.filter(
        pk=seen.pk,
        since_us=seen.since_us,
        until_us=seen.until_us,
        released_through=seen.released_through,
    )
    if not unchanged.update(
        released_through=max(through, seen.released_through),
        released_at=datetime.now(UTC),
        released_by=who,
        released_why=why,
    ):
        raise UsageError("the loss has changed since it was listed: list it again, and look")


def all_losses() -> list[Loss]:
    """Every loss, by device and time."""
    return list(Loss.objects.order_by("device", "since_us"))
