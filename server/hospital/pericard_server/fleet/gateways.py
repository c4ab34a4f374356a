"""The gateways that may deliver: registered by hand or by enrolment, until they are revoked."""

from collections.abc import Collection
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pericard_protocol.errors import UsageError
from pericard_server.fleet.models import Gateway


def register(name: str, verifying_key: bytes) -> None:
    """Has gateway `name` sign with this ML-DSA-65 key (raw) from now on."""
    Gateway.objects.update_or_create(name=name, defaults={"verifying_key": verifying_key})


def verifying_key(pem: bytes, source: str) -> bytes:
    """The raw ML-DSA-65 public key in a PEM file; `source` names the file for the operator.

    Raises:
        UsageError: it is another key, or none.
    """
    try:
        loaded = load_pem_public_key(pem)
    except ValueError:
        raise UsageError(f"{source} is not a PEM public key") from None
    if not isinstance(loaded, MLDSA65PublicKey):
        raise UsageError(f"{source} must hold an ML-DSA-65 public key")
    return loaded.public_bytes_raw()


def revoke(name: str) -> None:
    """Refuses every call of gateway `name` from now on.

    Raises:
        UsageError: no gateway has this name.
    """
    if not Gateway.objects.filter(name=name).update(revoked_at=datetime.now(UTC)):
        raise UsageError(f"no gateway {name!r}: `pericard server gateway list` shows all")


def admitted(name: str) -> Gateway | None:
    """The gateway, when it is registered and not revoked."""
    return Gateway.objects.filter(name=name, revoked_at=None).first()


def admitted_among(names: Collection[str]) -> set[str]:
    """Those of `names` that are registered and not revoked."""
    return set(Gateway.objects.filter(name__in=names, revoked_at=None).values_list("name", flat=True))


def all_registered() -> list[Gateway]:
    """All that were ever registered, by name."""
    return list(Gateway.objects.order_by("name"))
