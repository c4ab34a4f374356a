"""A lease: the right of one gateway to open some devices' frames, for a time and a number of frames.

The document is JSON with sorted keys, made by the KMS and signed by its log key (Ed25519) under a domain of
its own, so that it is never taken for another thing that this key signs. It commits to each key that is lent,
so that keys cannot be exchanged on their way. No I/O: clock and key are given.
"""

import json
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pericard_protocol.errors import PeerError

DOMAIN = b"pericard lease v2\x00"
_KEY_LABEL = b"pericard leased key v1\x00"
# By how much the clocks of KMS and gateway may differ.
SKEW_SECONDS = 30.0
# A lease is signed anew for each answer, and an answer comes within a minute: an older one is a recording, or
# one of the two clocks is wrong.
FRESH_SECONDS = 60.0


class LeaseError(PeerError):
    """The lease is not this KMS's, not for this gateway, or not for this time."""

    reason = "lease"


class Lent(NamedTuple):
    """What a lease says of one device's key: the epoch that it begins with, and its commitment."""

    epoch: int
    key: str


@dataclass(frozen=True)
class Lease:
    """A lease as the KMS stated it at `issued`; both times are Unix seconds by its clock."""

    id: str
    devices: dict[int, Lent]
    issued: float
    not_after: float


def key_commitment(device: int, epoch: int, key: bytes) -> str:
    """What a lease says of a key: SHA-256(label ‖ device as u32 ‖ epoch as u16 ‖ key), hexadecimal.

    A key has 256 random bits, so whoever reads a lease cannot find it by trying guesses; and by SHA-256's
    second-preimage resistance no other key has this commitment.
    """
    bound = _KEY_LABEL + device.to_bytes(4, "big") + epoch.to_bytes(2, "big") + key
    return sha256(bound).hexdigest()


def check_lease(lease: str, signature: str, public: bytes, gateway: str, now: float) -> Lease:
    """The lease, once it is known to be the KMS's word of this moment for this gateway.

    Args:
        lease: the document as it came.
        signature: base64.
        public: the KMS's log key, 32 bytes, noted when the KMS was set up.
        gateway: who we are.
        now: Unix seconds.

    Raises:
        LeaseError: not signed by `public`, for another gateway, not signed just now, or its time is over.
    """
    try:
        raw = lease.encode()
        Ed25519PublicKey.from_public_bytes(public).verify(b64decode(signature, validate=True), DOMAIN + raw)
        document = json.loads(raw)
        whose = str(document["gateway"])
        devices = {
            int(number): Lent(int(one["epoch"]), str(one["key"]))
            for number, one in document["devices"].items()
        }
        found = Lease(str(document["id"]), devices, float(document["issued"]), float(document["not_after"]))
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError):
        raise LeaseError("the lease is not signed by this KMS: take a new one") from None
    if whose != gateway:
        raise LeaseError(f"the lease is for the gateway {whose}: take one of our own")
    if not found.issued - SKEW_SECONDS <= now <= found.issued + FRESH_SECONDS + SKEW_SECONDS:
        raise LeaseError("the lease was not signed just now: check the clocks of this machine and the KMS")
    if now >= found.not_after:
        raise LeaseError("the lease's time is over: take a new one")
    return found
