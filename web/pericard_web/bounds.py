"""What is refused before anything reads it: bodies without a bound, files in forms, other sites' posts."""

from collections.abc import Callable
from http import HTTPStatus
from typing import NoReturn

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# What browsers say of a request that another site caused (Fetch Metadata); programs say nothing.
_FOREIGN = frozenset({"cross-site", "same-site"})


class Bounds:
    """Middleware: an ordinary body is small and says its length, and comes from no other site's page.

    Views at the paths of the setting `UPLOAD_PATHS` read their body themselves, each with a bound of its own.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._uploads = frozenset[str](getattr(settings, "UPLOAD_PATHS", ()))
        self._most = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, or why there is none."""
        if request.method in _SAFE:
            return self._get_response(request)
        if request.headers.get("Sec-Fetch-Site") in _FOREIGN:
            raise PermissionDenied
        length = request.META.get("CONTENT_LENGTH") or ""
        if "Transfer-Encoding" in request.headers or (length and not length.isdecimal()):
            return HttpResponse(status=HTTPStatus.LENGTH_REQUIRED)
        if int(length or 0) > self._most and request.path_info not in self._uploads:
            return HttpResponse(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return self._get_response(request)


class NoFiles(FileUploadHandler):
    """No form here takes a file, so none is written to a disk."""

    def new_file(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuses it."""
        raise RequestDataTooBig("no form of this site takes a file")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> NoReturn:
        """Never called: `new_file` refused."""
        raise RequestDataTooBig

    def file_complete(self, file_size: int) -> NoReturn:
        """Never called: `new_file` refused."""
        raise RequestDataTooBig
