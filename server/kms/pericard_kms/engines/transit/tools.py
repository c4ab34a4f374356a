"""Random bytes and hashes, which need no key."""

import os
from typing import Any

from pericard_kms.crypto import hashing
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Request

MAX_RANDOM = 128 * 1024


def random_bytes(request: Request, source: str = "", size: str = "") -> dict[str, Any]:
    """POST random[/{source}][/{bytes}]: bytes of the operating system's generator."""
    fields = request.fields
    if source.isdigit():
        source, size = "", source
    if source not in ("", "platform", "all", "seal"):
        raise Invalid(f"unsupported entropy source {source!r}")
    count = Fields({"bytes": size or fields.raw.get("bytes")}).whole("bytes", 32)
    if not 1 <= count <= MAX_RANDOM:
        raise Invalid(f'"bytes" must be between 1 and {MAX_RANDOM}')
    return {"random_bytes": _formatted(os.urandom(count), fields.text("format", "base64"))}


def hashed(request: Request, algorithm: str = "") -> dict[str, Any]:
    """POST hash[/{algorithm}]: a digest of `input`."""
    fields = request.fields
    message = input_of(fields, "input missing")
    digest = hashing.digest(algorithm or fields.text("algorithm", "sha2-256"), message)
    return {"sum": _formatted(digest, fields.text("format", "hex"))}


def _formatted(data: bytes, form: str) -> str:
    if form not in ("hex", "base64"):
        raise Invalid(f'unsupported encoding format {form}; must be "hex" or "base64"')
    return data.hex() if form == "hex" else encode(data)


def input_of(item: Fields, missing: str = "missing input") -> bytes:
    """The decoded `input` of a request or an item.

    Raises:
        Invalid: it is missing, or not base64.
    """
    if item.raw.get("input") is None:
        raise Invalid(missing)
    return decode(item.raw["input"], "input")
