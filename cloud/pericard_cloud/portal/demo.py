"""An account to try the portal with."""

import secrets

from pericard_cloud.portal.models import User


def account() -> tuple[str, str]:
    """(name, password) of a new account; both are random, and the password is kept only as its hash."""
    name, password = f"demo-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
    User.objects.create(name=name, password=password)
    return name, password
