"""What a program logs in with: made on the account page, shown once, kept only as a hash."""

import hashlib
import secrets
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from pericard_cloud.portal.models import ApiToken, User

PREFIX = "pct_"  # so that whoever finds one in a file, a person or a scanner, knows what it is
MOST = 10  # of one user
_USED_STEP = timedelta(minutes=1)  # not a write a request


def make(user: User, name: str) -> str:
    """A new token of 256 random bits, which nobody can be shown again."""
    token = PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(user=user, name=name, digest=_digest(token))
    return token


def owner(token: str) -> User | None:
    """Whose it is; None when it is nobody's.

    Found by its hash: how long the search takes tells nothing of a token that one does not have.
    """
    found = (
        ApiToken.objects.select_related("user").filter(digest=_digest(token), user__is_active=True).first()
    )
    if found is None:
        return None
    now = timezone.now()
    stale = Q(used__isnull=True) | Q(used__lt=now - _USED_STEP)
    ApiToken.objects.filter(stale, pk=found.pk).update(used=now)
    return found.user


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
