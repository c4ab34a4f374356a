"""What the operations on data share: `batch_input`, and texts that name the version they were made with."""

import re
from collections.abc import Callable
from typing import Any

from pericard_kms.engines.keys import Version
from pericard_kms.errors import Invalid, RequestError
from pericard_kms.fields import Fields, encode
from pericard_kms.routing import Response

# Not [0-9]*: an int() of a million digits is an attack, and no key has a billion versions.
_BOX = re.compile(r"vault:v([1-9][0-9]{0,8}):(.*)", re.ASCII | re.DOTALL)
Item = Callable[[Fields], dict[str, Any]]


def parse_versioned(box: str, what: str = "ciphertext") -> tuple[int, str]:
    """(version, encoded rest) of a `vault:vN:` text."""
    match = _BOX.fullmatch(box)
    if match is None:
        raise Invalid(f"invalid {what}: no prefix" if not box.startswith("vault:v") else f"invalid {what}")
    return int(match[1]), match[2]


def for_each(
    fields: Fields, work: Item, empty: dict[str, Any], on_failure: int = 400
) -> Response | dict[str, Any]:
    """Runs `work` for the request or for each item of its batch; a failed item does not stop the others.

    Returns:
        The single result, or `batch_results`; when an item failed, with the fields `empty` in its place and
        the status `on_failure` (or the request's own `partial_failure_response_code`).
    """
    batch = fields.batch()
    if batch is None:
        return work(fields)
    results = []
    failed = False
    for item in batch:
        try:
            result = work(item)
        except RequestError as error:
            failed = True
            result = {**empty, "error": str(error)}
        result["reference"] = item.text("reference")
        results.append(result)
    status = 200
    if failed:
        status = fields.whole("partial_failure_response_code", on_failure)
        if not 200 <= status <= 599:
            raise Invalid("partial_failure_response_code is an HTTP status")
    return Response({"batch_results": results}, status)


def check_contexts(fields: Fields) -> None:
    """Refuses a batch in which only some items have a context: half of it would be lost silently."""
    items = fields.batch() or []
    if len({"context" in item for item in items}) > 1:
        raise Invalid("context should be set either in all the request blocks or in none")


def versioned(version: Version, data: bytes) -> str:
    """Bytes as the API gives them out: after the version of the key that made them."""
    return f"vault:v{version.number}:{encode(data)}"
