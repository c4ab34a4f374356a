"""A lease: the right of one gateway to open some devices' frames, for a time and a number, checkable offline.

The document is JSON with sorted keys, signed by the KMS's log key under its own domain, so it is never taken
for a checkpoint. A gateway without a connection keeps to it by itself and reports afterwards.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pericard_server.kms.errors import Invalid, Tampered
from pericard_server.kms.fields import decode, encode
from pericard_server.kms.vault import Vault

_DOMAIN = b"pericard lease v1\x00"
# A ward may be cut off for a long weekend; more would make revocation meaningless.
LONGEST_LEASE_S = 7 * 86400.0
# One key serves at most 2^32 boots of 2^32 frames; a lease of 2^32 frames is a device's life time.
MAX_FRAMES = 2**32


@dataclass(slots=True)
class Lease:
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

    def signed(self, vault: Vault) -> dict[str, Any]:
        """The document for the gateway, and its signature."""
        shown = asdict(self)
        document = {
            name: shown[name] for name in ("id", "gateway", "devices", "not_before", "not_after", "frames")
        }
        raw = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return {"lease": raw.decode(), "signature": encode(vault.sign(_DOMAIN + raw))}


def check_lease(lease: str, signature: str, public: bytes, gateway: str, now: float) -> dict[str, Any]:
    """The lease's fields, once its signature, holder and time are right: what a gateway does, offline.

    Raises:
        Tampered: not signed by `public`, for another gateway, or its time is over or not come.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(
            decode(signature, "signature"), _DOMAIN + lease.encode()
        )
        document: dict[str, Any] = orjson.loads(lease)
    except (InvalidSignature, ValueError, Invalid):
        raise Tampered("the lease is not signed by this KMS") from None
    if document["gateway"] != gateway:
        raise Tampered(f"the lease is for the gateway {document['gateway']}")
    if not document["not_before"] <= now < document["not_after"]:
        raise Tampered("the lease's time is over: renew it")
    return document
