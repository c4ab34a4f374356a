"""The JSON of requests and replies: fields from body and query, and Vault's envelope around data."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pericard_kms.errors import Answered, Invalid
from pericard_kms.fields import Fields
from pericard_kms.routing import Response


@dataclass(slots=True)
class HttpReply:
    """An HTTP status and a JSON body, or none."""

    status: int
    body: bytes


def read_fields(body: bytes, query: str) -> Fields:
    """The fields of a request; what the body says goes before what the query says.

    Raises:
        Invalid: the body is not a JSON object, or the query has too many fields.
    """
    raw: dict[str, Any] = {}
    if body:
        try:
            raw = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"failed to decode JSON input: {error}") from None
        if raw is None:
            raw = {}
        if not isinstance(raw, dict):
            raise Invalid("failed to decode JSON input: the body is a JSON object")
    if query:
        try:
            given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise Invalid("the query has more than 100 fields") from None
        raw = {**given, **raw}
    return Fields(raw)


def reply(response: Response, request_id: str = "") -> HttpReply:
    """A response as Vault's clients read it."""
    if response.bare is not None:
        return HttpReply(response.status, orjson.dumps(response.bare))
    if response.status == 204:
        return HttpReply(204, b"")
    envelope: dict[str, Any] = dict(response.data or {}) if response.spread else {}
    envelope |= {
        "request_id": request_id,
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": response.data,
        "wrap_info": None,
        "warnings": response.warnings,
        "auth": response.auth,
    }
    return HttpReply(response.status, orjson.dumps(envelope))


def refuse(error: Answered) -> HttpReply:
    """The reply to a request that is not served."""
    return HttpReply(error.status, orjson.dumps({"errors": [str(error)] if str(error) else []}))


def refuse_with(status: int, text: str) -> HttpReply:
    """A refusal of this status and text."""
    return HttpReply(status, orjson.dumps({"errors": [text]}))
