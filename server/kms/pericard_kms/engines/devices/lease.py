"""A lease: which device keys a gateway was lent, for how long, and what it used of them. No storage."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from pericard_kms.fields import encode
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.device.lease import DOMAIN

# A ward may be cut off for a long weekend; more would make revocation meaningless.
LONGEST_LEASE_S = 7 * 86400.0
# One key serves at most 2^32 boots of 2^32 frames; a lease of 2^32 frames is a device's life time.
MAX_FRAMES = 2**32


@dataclass(slots=True)
class LeaseRecord:
    """What was lent to whom until when, and what was used of it."""

    id: str
    gateway: str
    devices: dict[str, int]  # id -> epoch
    not_before: float
    not_after: float
    frames: int
    state: str = "held"  # held, revoked, ended
    withdrawn: list[int] = field(default_factory=list)
    used: int = 0
    overused: bool = False
    commitments: dict[str, str] = field(default_factory=dict)  # id -> of the key that was lent

    def withdraw(self, number: int) -> None:
        """Takes a device out: the next signed document is without it."""
        del self.devices[str(number)]
        self.withdrawn.append(number)

    def signed(self, store: SealedStore) -> dict[str, Any]:
        """The document for the gateway as of now, and its signature.

        A device without a commitment was lent by an earlier release; the document leaves it out, and the
        gateway takes a new lease.
        """
        document = {
            "id": self.id,
            "gateway": self.gateway,
            "devices": {
                number: {"epoch": epoch, "key": self.commitments[number]}
                for number, epoch in self.devices.items()
                if number in self.commitments
            },
            "issued": store.clock(),
            "not_after": self.not_after,
            "frames": self.frames,
        }
        raw = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return {"lease": raw.decode(), "signature": encode(store.log.sign(DOMAIN + raw))}
