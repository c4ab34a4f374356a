"""A device: where it is in its life, its key, and how far its counters have come. No storage.

    enrolled -> active -> suspended -> active …; any of them -> lost -> enrolled again; any -> retired (final)

Every device has its own random key; none is derived from another. Provisioning anew gives a fresh key under
the next epoch and carries the boot counter's floor over, so neither epoch nor boot ever goes back: a recorded
frame of the device's earlier life stays stale. As the node's ratchet moves on, so does the key kept here:
yesterday's frames cannot be opened with what is in the store today.
"""

import os
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from pericard_kms.errors import Invalid
from pericard_kms.fields import decode, encode
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.lease import SKEW_SECONDS
from pericard_protocol.device.ratchet import MAX_AHEAD, advance

# The device link's fields: device_id and boot are u32, epoch is u16.
MAX_DEVICE, MAX_BOOT = 2**32 - 1, 2**32 - 1
# A lease lasts a week and a node takes an epoch a day or per 2^20 frames: a thousand is beyond any truth.
_LONGEST_STEP = 1000
NEXT_STATES: dict[str, frozenset[str]] = {
    "enrolled": frozenset({"active", "lost", "retired"}),
    "active": frozenset({"suspended", "lost", "retired"}),
    "suspended": frozenset({"active", "lost", "retired"}),
    "lost": frozenset({"retired"}),
    "retired": frozenset(),
}
SERVED = frozenset({"enrolled", "active"})


class KeyLoss(NamedTuple):
    """From when to when (Unix seconds) a device's frames are in doubt; `until` is None while it is lost."""

    since: float
    until: float | None


@dataclass(slots=True)
class DeviceRecord:
    """A device: where it is in its life, its key, and how far its counters have come."""

    id: int
    owner: str
    state: str
    epoch: int
    boot: int  # the next provisioning starts above this
    key: str = field(repr=False)  # base64; "" once retired
    history: list[dict[str, Any]] = field(default_factory=list)
    # Until when a gateway may still open frames with the present key, although it was taken out of its lease:
    # by the lease's id. An end that comes closer, or goes by, is followed by `give_back` and `losses`.
    still_lent: dict[str, float] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Everything but the key."""
        shown = asdict(self)
        del shown["key"]
        return shown

    def losses(self) -> list[KeyLoss]:
        """Every loss of this device, the oldest first.

        It ends when the device was provisioned anew: its new key is nobody else's. Where a gateway may not
        have heard yet that the old key was withdrawn, it ends with the last lease that held that key, and a
        little later: the gateway's clock, which dates its frames, may be ahead of ours by that much.
        """
        found: dict[float, float | None] = {}
        for event in self.history:
            if event["to"] == "lost":
                found[event["since"]] = None  # lost again from the same time on: one loss
            elif event["to"] == "provisioned":
                lent = [until + SKEW_SECONDS for until in event.get("still_lent", {}).values()]
                end = max([event["time"], *lent])
                found |= {since: end for since, until in found.items() if until is None}
        return [KeyLoss(since, until) for since, until in found.items()]

    def provision(self) -> None:
        """Gives a device that had a key before a fresh one, under the next epoch."""
        self.epoch += 1
        self.key = fresh_key()

    def give_back(self, lease: str, now: float) -> bool:
        """Notes that the gateway of `lease` has dropped the key that was withdrawn; whether that is news."""
        known = [self.still_lent, *(event.get("still_lent", {}) for event in self.history)]
        later = [ends for ends in known if ends.get(lease, 0.0) > now]
        for ends in later:
            ends[lease] = now
        return bool(later)

    def raise_floor(self, epoch: int, boot: int) -> None:
        """Follows the counters that a node has reached: key and epoch by the ratchet, never back.

        Raises:
            Invalid: more epochs ahead than a lease can last.
        """
        self.boot = max(self.boot, boot)
        if not self.key or epoch <= self.epoch:
            return
        if epoch - self.epoch > _LONGEST_STEP:
            raise Invalid(f"device {self.id}: {epoch - self.epoch} epochs in one lease cannot be")
        key = decode(self.key, "key")
        while self.epoch < epoch:
            to = min(epoch, self.epoch + MAX_AHEAD)
            key, self.epoch = advance(key, self.epoch, to), to
        self.key = encode(key)


def fresh_key() -> str:
    """A new random device key, base64."""
    return encode(os.urandom(KEY_BYTES))
