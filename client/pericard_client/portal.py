"""The portal's HTTP API, as a user calls it. TLS is verified, no redirect followed, every answer bounded."""

import json
import ssl
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import pydantic
import urllib3

from pericard_client.errors import BadPortalAnswer, PortalRefused, PortalUnreachable
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.manifest import Manifest

BYTES = "application/octet-stream"
_MAX_JSON = 8 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TIMEOUT = urllib3.Timeout(connect=10, read=120)
# Only what changes nothing is asked again.
_RETRIES = urllib3.Retry(
    total=3, backoff_factor=0.3, redirect=False, raise_on_redirect=False, raise_on_status=False
)


class _Answer(pydantic.BaseModel):
    """A JSON object of the portal's: fields that are not known here may come with it."""

    model_config = pydantic.ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)


class Listed(_Answer):
    """A model in the list."""

    name: str
    kind: str
    task: str
    features: int


class UploadedKeys(_Answer):
    """Public keys that the portal holds."""

    id: str
    fingerprint: str


class JobStatus(_Answer):
    """A job: `progress` goes from 0 to 1, `error` is a sentence where it failed."""

    id: str
    state: str
    progress: float
    error: str | None = None


class Account(_Answer):
    """Who a token belongs to."""

    user: str


_T = TypeVar("_T", bound=_Answer)


class Portal:
    """One portal, and the user's token for it."""

    def __init__(self, url: str, token: str = "", ca: Path | None = None) -> None:
        """Connects to nothing yet.

        Args:
            url: of the site, `https://…`; plain HTTP only on this machine.
            token: personal, from the account page.
            ca: certificates to trust in place of the system's.

        Raises:
            UsageError: the address, the token or the certificates cannot be used.
        """
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not safe or not parts.hostname or parts.query or parts.username:
            raise UsageError(f"{url}: the portal's address begins with https:// and has no user and no query")
        if not token.isascii() or not token.isprintable():
            raise UsageError(
                "the token holds characters that no token has: copy it again from the account page"
            )
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError):
            raise UsageError(f"the certificates in {ca} cannot be read") from None
        self._pool = urllib3.PoolManager(
            ssl_context=context, timeout=_TIMEOUT, headers={"Accept": "application/json"}
        )
        self._base = url.rstrip("/") + "/api/v1"
        self._token = token

    def models(self) -> list[Listed]:
        """The models that can be asked."""
        return [self._as(Listed, one) for one in self._list("GET", "/models")]

    def manifest(self, model: str) -> Manifest:
        """A model's manifest.

        Raises:
            PeerError: the portal sent another model's, or one that contradicts itself.
        """
        answer = self._json("GET", f"/models/{quote(model, safe='')}")
        manifest = Manifest.from_json(
            json.dumps(answer.get("manifest") if isinstance(answer, dict) else None)
        )
        if manifest.name != model:
            raise BadPortalAnswer(f"the portal sent another model than {model}")
        return manifest

    def account(self) -> Account:
        """Whose token this is."""
        return self._as(Account, self._json("GET", "/account"))

    def uploaded_keys(self) -> list[UploadedKeys]:
        """The user's public keys there."""
        return [self._as(UploadedKeys, one) for one in self._list("GET", "/keys")]

    def add_keys(self, container: bytes) -> UploadedKeys:
        """Uploads public keys."""
        return self._as(UploadedKeys, self._json("POST", "/keys", container))

    def delete_keys(self, keys_id: str) -> None:
        """Deletes public keys there."""
        self._send("DELETE", f"/keys/{quote(keys_id, safe='')}")

    def add_job(self, model: str, keys_id: str, query: bytes) -> JobStatus:
        """Uploads a query, which is the start of a job."""
        path = f"/jobs?model={quote(model, safe='')}&key={quote(keys_id, safe='')}"
        return self._as(JobStatus, self._json("POST", path, query))

    def job(self, job_id: str) -> JobStatus:
        """How far a job is."""
        return self._as(JobStatus, self._json("GET", f"/jobs/{quote(job_id, safe='')}"))

    def cancel(self, job_id: str) -> None:
        """Ends a job."""
        self._send("POST", f"/jobs/{quote(job_id, safe='')}/cancel", b"")

    def result(self, job_id: str, size: int) -> bytes:
        """A job's reply.

        Args:
            job_id: the job's.
            size: how long its reply is; more is not read.
        """
        return self._send("GET", f"/jobs/{quote(job_id, safe='')}/result", most=size)

    def delete_job(self, job_id: str) -> None:
        """Deletes a job, with its query and its reply."""
        self._send("DELETE", f"/jobs/{quote(job_id, safe='')}")

    def _send(self, method: str, path: str, body: bytes | None = None, most: int = _MAX_JSON) -> bytes:
        headers = {"Accept": f"application/json, {BYTES}"}
        if body is not None:
            headers["Content-Type"] = BYTES
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        retries = _RETRIES if method == "GET" else urllib3.Retry(0, redirect=False)
        try:
            answer = self._pool.request(
                method,
                self._base + path,
                body=body,
                headers=headers,
                retries=retries,
                redirect=False,
                preload_content=False,
            )
            with answer:
                content = answer.read(most + 1, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise PortalUnreachable(f"the portal does not answer: {_reason(error)}") from None
        if answer.status >= 500:
            raise PortalUnreachable(f"the portal cannot serve this now ({answer.status}): try later")
        if not 200 <= answer.status < 300:
            raise PortalRefused(_refusal(answer.status, content))
        if len(content) > most:
            raise BadPortalAnswer("the portal's answer is longer than it can be")
        return content

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        try:
            return json.loads(self._send(method, path, body))
        except (ValueError, RecursionError):
            raise BadPortalAnswer("the portal's answer is no JSON: is this the portal's address?") from None

    def _list(self, method: str, path: str) -> list[Any]:
        answer = self._json(method, path)
        if not isinstance(answer, list):
            raise BadPortalAnswer("the portal's answer is no list")
        return answer

    def _as(self, kind: type[_T], answer: Any) -> _T:
        try:
            return kind.model_validate_json(json.dumps(answer))
        except pydantic.ValidationError:
            raise BadPortalAnswer(
                "the portal's answer is not of its API: update this kit, or the portal"
            ) from None


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """The innermost cause, in one line."""
    cause: BaseException = getattr(error, "reason", None) or error
    return plain(str(cause.args[-1] if cause.args else cause).rpartition(">: ")[2])


def _refusal(status: int, content: bytes) -> str:
    """What the portal said, made safe to print."""
    try:
        said = json.loads(content)
        message = said["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = ""
    return f"the portal refuses ({status}): {plain(str(message)) or 'it does not say why'}"


def plain(text: str) -> str:
    """Text of a stranger's for a terminal: one line, no control characters, 300 characters."""
    return "".join(one if one.isprintable() else " " for one in text)[:300].strip()
