"""The user of a request whose view asked for a login."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from pericard_cloud.portal.models import User


def current(request: HttpRequest) -> User:
    """Who is logged in."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
