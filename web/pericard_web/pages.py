"""Pages of errors: a sentence each, in the reader's language, and a way back."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pericard_web.throttle import Throttled


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was not made by this site, or is too old; `reason` is for developers and not shown."""
    return render(request, "403_csrf.html", status=HTTPStatus.FORBIDDEN)


def too_many(request: HttpRequest, error: Throttled) -> HttpResponse:
    """Attempts came too often."""
    minutes = -(-error.seconds // 60)
    response = render(request, "429.html", {"minutes": minutes}, status=HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(error.seconds)
    return response
