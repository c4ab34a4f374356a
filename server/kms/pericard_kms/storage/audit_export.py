"""An audit log away from its KMS: the export file, and the check that finds every change in it. No network.

An export is lines of text: a JSON head with origin and public key, the leaves exactly as hashed, and
last the signed checkpoint that covers them:

    {"pericard_audit_export": 1, "origin": "…", "public_key": "…"}
    {"position": 0, …}
    …
    {"checkpoint": "…"}

The verifier trusts one thing, the public key, which the auditor noted at the set-up; the file's is only
compared with it. Older checkpoints, kept elsewhere, show that the log grew and never was cut or rewritten.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pericard_kms.crypto.checkpoints import open_checkpoint
from pericard_kms.crypto.merkle import Frontier, leaf_hash
from pericard_kms.errors import Tampered

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Verified:
    """What a sound export shows."""

    origin: str
    entries: int
    root: str
    time: int
    checkpoints: int


def write_export(origin: str, public_key: bytes, leaves: Iterable[str], checkpoint: str) -> Iterator[str]:
    """The lines of an export, each with its end."""
    head = {
        "pericard_audit_export": FORMAT,
        "origin": origin,
        "public_key": base64.b64encode(public_key).decode(),
    }
    yield json.dumps(head) + "\n"
    for leaf in leaves:
        yield leaf + "\n"
    yield json.dumps({"checkpoint": checkpoint}) + "\n"


def verify_export(lines: Iterable[str], public_key: bytes, older: Iterable[str] = ()) -> Verified:
    """Checks an export completely.

    Args:
        lines: the file's lines.
        public_key: the log's Ed25519 key, as the auditor knows it.
        older: checkpoints seen before.

    Raises:
        Tampered: naming the first thing that does not hold.
    """
    notes = [open_checkpoint(note, public_key) for note in older]
    wanted = {size: root for _, size, root, _ in notes}
    if len(wanted) != len({(size, root) for _, size, root, _ in notes}):
        raise Tampered("two of the older checkpoints contradict each other: the KMS showed two histories")
    source = iter(lines)
    head = _json(next(source, ""), "the first line")
    if head.get("pericard_audit_export") != FORMAT:
        raise Tampered("the file is not an audit export")
    if head.get("public_key") != base64.b64encode(public_key).decode():
        raise Tampered("the export names another public key than the one you gave")
    frontier = Frontier()
    last: str | None = None
    for line in source:
        if last is not None:
            frontier.append(_leaf(last, frontier.size))
            _compare(wanted, frontier)
        last = line
    note = _json(last or "", "the last line").get("checkpoint")
    if not isinstance(note, str):
        raise Tampered("the export does not end with its checkpoint: it was cut")
    origin, size, root, time = open_checkpoint(note, public_key)
    if head.get("origin") != origin or any(other != origin for other, *_ in notes):
        raise Tampered("the checkpoints are of different logs")
    if size != frontier.size:
        raise Tampered(f"the checkpoint covers {size} entries and the export has {frontier.size}")
    if root != frontier.root():
        raise Tampered("an entry was changed, dropped, added or moved: the root is not the checkpoint's")
    longest = max(wanted, default=0)
    if longest > size:
        raise Tampered(
            f"an older checkpoint covers {longest} entries and the export has {size}: its tail was cut"
        )
    if 0 in wanted and wanted[0] != Frontier().root():
        raise Tampered("an older checkpoint of no entries has a wrong root")
    return Verified(origin, size, base64.b64encode(root).decode(), time, len(notes))


def _leaf(line: str, position: int) -> bytes:
    text = line.removesuffix("\n")
    if _json(text, f"entry {position}").get("position") != position:
        raise Tampered(f"entry {position} does not say that it is: entries were dropped, added or reordered")
    return leaf_hash(text.encode("utf-8", "surrogateescape"))


def _compare(wanted: dict[int, bytes], frontier: Frontier) -> None:
    root = wanted.get(frontier.size)
    if root is not None and root != frontier.root():
        raise Tampered(
            f"the first {frontier.size} entries are not an older checkpoint's: history was rewritten"
        )


def _json(line: str, what: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Tampered(f"{what} of the export is not JSON: the file was cut or changed") from None
    if not isinstance(value, dict):
        raise Tampered(f"{what} of the export is not an object")
    return value
