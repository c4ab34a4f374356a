"""A device: where it is in its life, its key, and how far its counters have come. No storage.

    enrolled -> active -> suspended -> active …; any of them -> lost -> enrolled again; any -> retired (final)

Every device has its own random key; none is derived from another. Provisioning anew gives a fresh key under
the next epoch and carries the boot counter's floor over, so neither epoch nor boot ever goes back: a recorded
frame of the device's earlier life stays stale. As the node's ratchet moves on, so does the key kept here:
yesterday's frames cannot be opened with what is in the store today.
"""

import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pericard_kms.errors import Invalid
from pericard_kms.fields import decode, encode
from pericard_protocol.device.frame import KEY_BYTES
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

Verdict = Literal["accept", "quarantine", "refuse"]


@dataclass(slots=True)
class DeviceRecord:
    """A device: where it is in its life, its key, and how far its counters have come."""

    id: int
    owner: str
    state: str
    epoch: int
    boot: int  # the next provisioning starts above this
    key: str = field(repr=False)  # base64; "" once retired
    quarantined_since: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Everything but the key."""
        shown = asdict(self)
        del shown["key"]
        return shown

    def verdict(self, received: float) -> Verdict:
        """What a frame of this device is worth that a gateway received at the Unix time `received`.

        In this order: received since the time from which the device is in doubt, and before it was
        provisioned anew: quarantine. Otherwise what the device is now decides: enrolled or active: accept;
        suspended, lost or retired: refuse.
        """
        if self.quarantined_since is not None and received >= self.quarantined_since:
            provisioned = [event["time"] for event in self.history if event["to"] == "provisioned"]
            if self.state == "lost" or not provisioned or received < provisioned[-1]:
                return "quarantine"
        return "accept" if self.state in SERVED else "refuse"

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
