"""Writes invitations and redeems them: one gateway and one key each, for a day."""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from django.db import transaction

from pericard_protocol.uplink.enrolment import TOKEN_BYTES
from pericard_server.errors import BadToken
from pericard_server.fleet.models import Gateway, Invited

VALID = timedelta(days=1)


def new_invitation(gateway: str) -> bytes:
    """A new token for `gateway`; those that it had before and did not use are void."""
    token = secrets.token_bytes(TOKEN_BYTES)
    with transaction.atomic():
        Invited.objects.filter(gateway=gateway, used_by=None).delete()
        Invited.objects.create(
            token_hash=sha256(token).digest(), gateway=gateway, ends_at=datetime.now(UTC) + VALID
        )
    return token


def redeem(token: bytes, verifying_key: bytes) -> str:
    """The name of the gateway, which is now registered with its key.

    The same key may redeem its token again while it is valid: the answer may have been lost on the way.

    Raises:
        BadToken: unknown, over, or used by another key.
    """
    with transaction.atomic():
        # Found by its hash: how long the search takes tells nothing about a token.
        found = Invited.objects.filter(token_hash=sha256(token).digest()).first()
        if found is None or found.ends_at <= datetime.now(UTC):
            raise BadToken("the token is not one of an open invitation: ask the hospital for a new one")
        if found.used_by is not None and bytes(found.used_by) != verifying_key:
            raise BadToken("the token was used before: if not by you, somebody has your invitation")
        found.used_by = verifying_key
        found.save()
        Gateway.objects.update_or_create(
            name=found.gateway, defaults={"verifying_key": verifying_key, "revoked_at": None}
        )
    return found.gateway
