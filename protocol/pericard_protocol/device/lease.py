"""A lease: the right of one gateway to open some devices' frames, for a time and a number, checkable offline.

The document is JSON with sorted keys. The KMS makes it and signs it with its log key (Ed25519). `DOMAIN` is
signed in front of it, so that no signature of this key on something else is valid for a lease. No I/O: the
caller gives the time and the key.
"""

import json
from base64 import b64decode
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pericard_protocol.errors import PeerError

DOMAIN = b"pericard lease v1\x00"
# `not_before` is the KMS's own time. A gateway whose clock is behind sees it in the future, and accepts that
# up to this difference.
SKEW_SECONDS = 30.0


class LeaseError(PeerError):
    """The lease is not this KMS's, not for this gateway, or not for this time."""

    reason = "lease"


def check_lease(lease: str, signature: str, public: bytes, gateway: str, now: float) -> dict[str, Any]:
    """The lease's fields (`id`, `gateway`, `devices`, `not_before`, `not_after`, `frames`), if it is valid.

    Args:
        lease: the document as it came.
        signature: base64.
        public: the KMS's log key, 32 bytes, noted when the KMS was set up.
        gateway: who we are.
        now: Unix seconds.

    Raises:
        LeaseError: not signed by `public`, for another gateway, or its time is over or has not come.
    """
    try:
        raw = lease.encode()
        Ed25519PublicKey.from_public_bytes(public).verify(b64decode(signature, validate=True), DOMAIN + raw)
        document: dict[str, Any] = json.loads(raw)
    except (InvalidSignature, ValueError):
        raise LeaseError("the lease is not signed by this KMS: take a new one") from None
    if document["gateway"] != gateway:
        raise LeaseError(f"the lease is for the gateway {document['gateway']}: take one of our own")
    if not document["not_before"] - SKEW_SECONDS <= now < document["not_after"]:
        raise LeaseError("the lease's time is over or has not come: renew it, and check this machine's clock")
    return document
