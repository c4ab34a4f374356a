"""The HTTP API, /api/v1: what the browser's client and the kit call. /api/v1/openapi.json describes it.

Every operation but those on models asks who calls, and looks only among what is theirs.
"""

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import Http404
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import APIKeyCookie, HttpBearer

from pericard_cloud.portal import quotas, tokens
from pericard_cloud.portal.catalogue import Entry
from pericard_cloud.portal.counts import counts
from pericard_cloud.portal.errors import NoLength, NotLoggedIn, NotYours, Refused, WrongField
from pericard_cloud.portal.models import EvaluationKeys, PortalJob, User
from pericard_cloud.portal.schemas import (
    AccountOut,
    JobOut,
    KeysOut,
    ModelOut,
    ModelShort,
    QuotaOut,
    RefusalOut,
)
from pericard_cloud.portal.services import services
from pericard_protocol.errors import PeerError
from pericard_protocol.prediction import parameters
from pericard_protocol.prediction.errors import OtherKeys, OtherModel

BYTES = "application/octet-stream"
_ANY_REFUSAL = frozenset({400, 401, 403, 404, 409, 411, 413, 429})
_UPLOAD: dict[str, Any] = {
    "requestBody": {"required": True, "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}
}
_DOWNLOAD: dict[str, Any] = {
    "responses": {200: {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}}
}


class Bearer(HttpBearer):
    """A personal token. One that is nobody's is refused, also where there is a session."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        """Whose token it is."""
        user = tokens.owner(token)
        if user is None:
            raise NotLoggedIn(_("This token is not known here, or was revoked."))
        return user


class Session(APIKeyCookie):
    """The session of a browser; what changes something needs the CSRF token, too."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        """Whose session it is."""
        if not isinstance(request.user, User):
            return None
        super().__call__(request)
        return request.user

    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        """Nothing is left to do: Django's own session was looked at."""


api = NinjaAPI(
    title="Pericard: encrypted prediction",
    version="1",
    description="Queries and replies are encrypted with keys that this site never has.",
    docs_url=None,  # our own page shows it, without anybody else's script
    auth=[Bearer(), Session()],
    urls_namespace="api",
)


def refusal(error: PeerError) -> tuple[HTTPStatus, dict[str, str]]:
    """The answer to what is refused; it is counted, too."""
    counts().refuse(error.reason, str(error))
    if isinstance(error, Refused):
        status = error.status
    else:
        status = HTTPStatus.CONFLICT if isinstance(error, OtherKeys | OtherModel) else HTTPStatus.BAD_REQUEST
    return status, {"reason": error.reason, "message": str(error)}


@api.exception_handler(PeerError)
def _refused(request: HttpRequest, error: PeerError | type[PeerError]) -> HttpResponse:
    assert isinstance(error, PeerError)  # noqa: S101 - ninja's type allows the class itself
    status, body = refusal(error)
    response = api.create_response(request, body, status=status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(quotas.seconds_left())
    return response


@api.exception_handler(AuthenticationError)
def _anonymous(request: HttpRequest, error: object) -> HttpResponse:
    return _refused(request, NotLoggedIn(_("Log in, or send a token.")))


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError | type[ValidationError]) -> HttpResponse:
    named = ", ".join(str(one["loc"][-1]) for one in getattr(error, "errors", []))
    return _refused(request, WrongField(_("Missing or not of its form: %(named)s") % {"named": named}))


@api.exception_handler(Http404)
def _absent(request: HttpRequest, error: object) -> HttpResponse:
    return _refused(request, NotYours(_("There is nothing here.")))


@api.exception_handler(HttpError)
def _other(request: HttpRequest, error: HttpError | type[HttpError]) -> HttpResponse:
    status = int(getattr(error, "status_code", 400))
    reason = "form token" if status == HTTPStatus.FORBIDDEN else "request"
    return api.create_response(request, {"reason": reason, "message": str(error)}, status=status)


@api.get("/models", auth=None, response=list[ModelShort])
def models(request: HttpRequest) -> Any:
    """The models that can be asked."""
    return [_short(entry) for entry in services().catalogue.entries()]


@api.get("/models/{name}", auth=None, response={200: ModelOut, _ANY_REFUSAL: RefusalOut})
def model(request: HttpRequest, name: str) -> Any:
    """One model: its manifest, which a client needs, and its card, which a person should read."""
    entry = services().catalogue.find(name)
    return {"manifest": entry.manifest_json, "card": entry.card}


@api.post("/keys", response={201: KeysOut, _ANY_REFUSAL: RefusalOut}, openapi_extra=_UPLOAD)
def add_keys(request: HttpRequest) -> Any:
    """Send public evaluation keys: one keys container."""
    most = max(parameters.named(name).keys_bytes(2) for name in parameters.NAMES)
    with services().store.receive(request.read, _length(request), most) as upload:
        return 201, _keys(services().keyring.add(_user(request), upload))


@api.get("/keys", response=list[KeysOut])
def keys(request: HttpRequest) -> Any:
    """Your keys that can be used."""
    return [_keys(one) for one in services().keyring.of(_user(request))]


@api.delete("/keys/{key_id}", response={204: None, _ANY_REFUSAL: RefusalOut})
def revoke_keys(request: HttpRequest, key_id: str) -> Any:
    """Revoke keys: they are deleted, and jobs that still need them fail."""
    services().keyring.revoke(_user(request), key_id)
    return 204, None


@api.post("/jobs", response={202: JobOut, _ANY_REFUSAL: RefusalOut}, openapi_extra=_UPLOAD)
def add_job(request: HttpRequest, model: str, key: str) -> Any:
    """Send a query: one query container, for the model and under the keys named."""
    found, user = services(), _user(request)
    entry, chosen = found.catalogue.find(model), found.keyring.find(user, key)
    found.history.check_room(user)  # before anything is read
    with found.store.receive(request.read, _length(request), found.history.longest(entry)) as upload:
        return 202, _job(found.history.add(user, entry, chosen, upload))


@api.get("/jobs", response=list[JobOut])
def jobs(request: HttpRequest) -> Any:
    """Your jobs, the newest first."""
    return [_job(one) for one in services().history.of(_user(request))]


@api.get("/jobs/{job_id}", response={200: JobOut, _ANY_REFUSAL: RefusalOut})
def job(request: HttpRequest, job_id: str) -> Any:
    """One job: its state, and how far it is."""
    return _job(services().history.find(_user(request), job_id))


@api.post("/jobs/{job_id}/cancel", response={200: JobOut, _ANY_REFUSAL: RefusalOut})
def cancel_job(request: HttpRequest, job_id: str) -> Any:
    """End a job that waits or runs."""
    return _job(services().history.cancel(_user(request), job_id))


@api.delete("/jobs/{job_id}", response={204: None, _ANY_REFUSAL: RefusalOut})
def delete_job(request: HttpRequest, job_id: str) -> Any:
    """Delete a job with its query and its result."""
    services().history.delete(_user(request), job_id)
    return 204, None


@api.get("/jobs/{job_id}/result", openapi_extra=_DOWNLOAD)
def result(request: HttpRequest, job_id: str) -> HttpResponse:
    """The encrypted result: one reply container."""
    return HttpResponse(services().history.result(_user(request), job_id), content_type=BYTES)


@api.get("/account", response=AccountOut)
def account(request: HttpRequest) -> Any:
    """Who you are here, and the rows of today that you used."""
    user = _user(request)
    return AccountOut(user=user.name, quota=quota_of(user))


def quota_of(user: User) -> list[QuotaOut]:
    """For each model: rows a day, and those used today."""
    found = services()
    return [
        QuotaOut(
            model=one.name, rows_per_day=found.portal.quota.of(one.name), used=quotas.used(user, one.name)
        )
        for one in found.catalogue.entries()
    ]


def _user(request: HttpRequest) -> User:
    user = getattr(request, "auth", None)
    if not isinstance(user, User):
        raise NotLoggedIn(_("Log in, or send a token."))
    return user


def _length(request: HttpRequest) -> int:
    if request.content_type != BYTES:
        raise WrongField(_("Send the bytes as %(type)s.") % {"type": BYTES})
    length = str(request.META.get("CONTENT_LENGTH") or "")
    if not length.isdecimal():
        raise NoLength(_("Say how long the upload is (Content-Length)."))
    return int(length)


def _short(entry: Entry) -> ModelShort:
    manifest = entry.manifest
    return ModelShort(
        name=manifest.name,
        digest=manifest.digest,
        kind=manifest.kind,
        task=manifest.task,
        features=len(manifest.features),
        classes=list(manifest.classes),
    )


def _keys(one: EvaluationKeys) -> KeysOut:
    return KeysOut(
        id=one.pk,
        fingerprint=one.fingerprint,
        parameters=parameters.numbered(one.parameters).name,
        created=one.created,
        expires=one.expires,
    )


def _job(one: PortalJob) -> JobOut:
    return JobOut(
        id=one.pk,
        model=one.model,
        key=one.keys_id,
        state=PortalJob.State(one.state),
        progress=one.progress,
        rows=one.rows,
        error=str(one.get_error_display()) if one.error else None,
        created=one.created,
        finished=one.finished,
        expires=one.expires,
    )
