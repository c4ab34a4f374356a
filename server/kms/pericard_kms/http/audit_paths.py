"""The paths under sys/ that show the audit log: its key, checkpoints, entries and proofs."""

import base64
from typing import Any

from pericard_kms.errors import Invalid
from pericard_kms.routing import Request, Response, Routes
from pericard_kms.storage.sealed_store import SealedStore

_ENTRIES_AT_ONCE = 5000


class AuditPaths:
    """The audit log, for auditors and for clients that verify."""

    def __init__(self, routes: Routes, store: SealedStore) -> None:
        self._store = store
        add = routes.add
        add("audit", read=self._audit_devices, sudo=True)
        add("audit-hash/{path}", update=self._audit_hash)
        add("audit-log/key", read=self._log_key)
        add("audit-log/checkpoint", read=self._log_checkpoint)
        add("audit-log/checkpoints", read=self._log_checkpoints)
        add("audit-log/entries", read=self._log_entries)
        add("audit-log/inclusion", read=self._log_inclusion)
        add("audit-log/consistency", read=self._log_consistency)

    def _audit_devices(self, request: Request) -> Response:
        device = {"type": "merkle", "description": "the built-in RFC 9162 log", "local": True, "options": {}}
        return Response({"merkle/": {**device, "path": "merkle/"}}, spread=True)

    def _audit_hash(self, request: Request, path: str) -> Response:
        if path != "merkle":
            raise Invalid(f"unknown audit backend: {path}/; the one there is is called merkle")
        if "input" not in request.fields:
            raise Invalid('the "input" parameter is empty')
        return Response({"hash": self._store.log.recorder.hashed(request.fields.text("input"))}, spread=True)

    def _log_key(self, request: Request) -> dict[str, Any]:
        return {
            "origin": self._store.log.origin,
            "public_key": base64.b64encode(self._store.log.public_key).decode(),
        }

    def _log_checkpoint(self, request: Request) -> dict[str, Any]:
        return {"checkpoint": self._store.checkpoint()}

    def _log_checkpoints(self, request: Request) -> dict[str, Any]:
        return {"checkpoints": self._store.checkpoints()}

    def _sizes(self, request: Request, *names: str) -> list[int]:
        """Whole-number fields that are sizes or positions within the durable log."""
        self._store.flush()
        limit = self._store.log.size
        values = [
            request.fields.whole(name, limit if name in ("size", "to", "stop") else 0) for name in names
        ]
        if any(not 0 <= value <= limit for value in values):
            raise Invalid(f"the log has {limit} entries: {', '.join(names)} must be within")
        return values

    def _log_entries(self, request: Request) -> dict[str, Any]:
        start, stop = self._sizes(request, "start", "stop")
        stop = min(stop, start + _ENTRIES_AT_ONCE)
        entries = [leaf.decode() for leaf in self._store.leaves(start, stop)] if start < stop else []
        return {"start": start, "entries": entries}

    def _log_inclusion(self, request: Request) -> dict[str, Any]:
        position, size = self._sizes(request, "position", "size")
        return {"proof": _texts(self._store.log.tree.inclusion(position, size)), "size": size}

    def _log_consistency(self, request: Request) -> dict[str, Any]:
        old, new = self._sizes(request, "from", "to")
        return {"proof": _texts(self._store.log.tree.consistency(old, new)), "to": new}


def _texts(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(value).decode() for value in hashes]
