"""The portal's pages: models, prediction, keys, jobs, and what the server saw. Nothing here computes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from pericard_cloud.portal import quotas
from pericard_cloud.portal.api import BYTES, api, refusal
from pericard_cloud.portal.client_texts import CLIENT_TEXTS
from pericard_cloud.portal.errors import NotYours
from pericard_cloud.portal.models import PortalJob, User
from pericard_cloud.portal.picture import png
from pericard_cloud.portal.reference import operations
from pericard_cloud.portal.services import services
from pericard_cloud.portal.store import Store
from pericard_cloud.portal.users import current
from pericard_protocol.errors import PeerError
from pericard_web.headers import with_wasm

CLIENT = "portal/browser/client.js"
_DRAWN_BYTES = 16 << 10
_SHOWN_BYTES = 256


def or_404(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """What is not there, and what is somebody else's, is one page."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except NotYours as error:
            raise Http404 from error

    return wrapped


def _client(request: HttpRequest, page: str) -> dict[str, object]:
    """What a page with the browser's client needs; README.md of this folder says what it is for."""
    script = CLIENT if finders.find(CLIENT) else None
    return {"client_page": page, "client_script": script, "client_texts": CLIENT_TEXTS}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is."""
    return render(request, "portal/home.html")


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """Every model, as a card."""
    return render(request, "portal/models.html", {"entries": services().catalogue.entries()})


@require_safe
@login_required
@or_404
@with_wasm
def predict(request: HttpRequest, name: str) -> HttpResponse:
    """A model's card, and a form for features that never leaves the browser."""
    user, entry = current(request), services().catalogue.find(name)
    allowed = services().portal.quota.of(name)
    context = {
        "entry": entry,
        "keys": services().keyring.of(user),
        "allowed": allowed,
        "left": max(0, allowed - quotas.used(user, name)),
    }
    return render(request, "portal/predict.html", context | _client(request, "predict"))


@require_safe
@login_required
@with_wasm
def keys(request: HttpRequest) -> HttpResponse:
    """The user's keys: made in the browser, their public half listed here."""
    listed = services().keyring.of(current(request))
    return render(request, "portal/keys.html", {"keys": listed} | _client(request, "keys"))


@require_POST
@login_required
@or_404
def revoke_keys(request: HttpRequest, key_id: str) -> HttpResponse:
    """Revokes keys."""
    services().keyring.revoke(current(request), key_id)
    return redirect("keys")


@require_safe
@login_required
@with_wasm
def jobs(request: HttpRequest) -> HttpResponse:
    """The user's jobs, the newest first."""
    pages = Paginator(services().history.of(current(request)), 25)
    context = {"page": pages.get_page(request.GET.get("page")), "now": timezone.now()}
    return render(request, "portal/jobs.html", context | _client(request, "jobs"))


@require_POST
@login_required
@or_404
def cancel_job(request: HttpRequest, job_id: str) -> HttpResponse:
    """Cancels a job."""
    return _done(request, lambda user: services().history.cancel(user, job_id))


@require_POST
@login_required
@or_404
def delete_job(request: HttpRequest, job_id: str) -> HttpResponse:
    """Deletes a job and its files."""
    return _done(request, lambda user: services().history.delete(user, job_id))


def _done(request: HttpRequest, act: Callable[[User], object]) -> HttpResponse:
    try:
        act(current(request))
    except NotYours:
        raise
    except PeerError as error:
        messages.error(request, refusal(error)[1]["message"])
    return redirect("jobs")


@require_safe
@login_required
@or_404
def download(request: HttpRequest, job_id: str) -> HttpResponse:
    """The encrypted result, as a file for the client kit."""
    try:
        reply = services().history.result(current(request), job_id)
    except PeerError as error:
        raise NotYours(str(error)) from error
    disposition = f'attachment; filename="{job_id}.reply"'
    return HttpResponse(reply, content_type=BYTES, headers={"Content-Disposition": disposition})


@require_safe
@login_required
@or_404
def seen(request: HttpRequest, job_id: str | None = None) -> HttpResponse:
    """What the server saw of a query, and what it did not: of the newest one, where none is named."""
    found = services().history
    user = current(request)
    if job_id is None:
        job = next((one for one in found.of(user)[:10] if _query(services().store, one)), None)
    else:
        job = found.find(user, job_id)
    shown = _query(services().store, job) if job else b""
    context = {
        "job": job,
        "shown": " ".join(f"{byte:02x}" for byte in shown[-_SHOWN_BYTES:]),
        "there": bool(shown),
    }
    return render(request, "portal/seen.html", context)


@require_safe
@login_required
@or_404
def query_picture(request: HttpRequest, job_id: str) -> HttpResponse:
    """The bytes of a stored query as points."""
    data = _query(services().store, services().history.find(current(request), job_id))
    if not data:
        raise NotYours("the query was deleted")
    return HttpResponse(png(data), content_type="image/png")


def _query(store: Store, job: PortalJob) -> bytes:
    """The beginning of a job's query, as it lies on our disk; nothing where it was deleted."""
    try:
        with store.path("queries", job.pk).open("rb") as file:
            return file.read(_DRAWN_BYTES)
    except OSError:
        return b""


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """The API, for people: its OpenAPI description on a page of ours."""
    schema = api.get_openapi_schema()
    return render(request, "portal/api.html", {"operations": operations(schema), "schema": schema})
