"""The headers of every answer: constant, strict, and set in one place.

A page runs scripts of this site only, is shown in no frame, and asks nobody else for anything. No nonce is
needed, because no page has a script or style of its own within it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

P = ParamSpec("P")
_CSP = "Content-Security-Policy"


def _policy(script: str, *more: str) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {script}",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "font-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            *more,
        ]
    )


POLICY = _policy("'self'")
# For pages that compile WebAssembly in a worker, and for that worker's own script: a worker lives by the
# policy that its script came with. It allows no eval of JavaScript.
POLICY_WITH_WASM = _policy("'self' 'wasm-unsafe-eval'", "worker-src 'self'")

CONSTANT = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Nothing to other sites. By `no-referrer` browsers would send our own forms with `Origin: null`, refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Nothing of the device is asked for, but that a page of ours may use passkeys.
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), "
    "serial=(), bluetooth=(), browsing-topics=(), publickey-credentials-get=(self), "
    "publickey-credentials-create=(self)",
}


class Headers:
    """Middleware, the outermost: what others answer, static files too, leaves with these headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._static = str(settings.STATIC_URL)
        self._wasm: tuple[str, ...] = tuple(getattr(settings, "WASM_PATHS", ()))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, with its headers."""
        response = self._get_response(request)
        wasm = request.path_info.startswith(self._wasm) if self._wasm else False
        response.headers.setdefault(_CSP, POLICY_WITH_WASM if wasm else POLICY)
        for name, value in CONSTANT.items():
            response.headers[name] = value
        if not request.path_info.startswith(self._static):
            # What is shown is one person's: neither a proxy nor the browser's disk keeps it.
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def with_wasm(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """For the view of a page whose worker compiles WebAssembly."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response.headers[_CSP] = POLICY_WITH_WASM
        return response

    return wrapped
