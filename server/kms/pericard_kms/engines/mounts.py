"""The table of mounts: which engine serves which path. Which types of engine there are, it is told.

An engine's values lie under its mount's uuid, so a path that is used again starts empty.
"""

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson

from pericard_kms.errors import Invalid, NotFound
from pericard_kms.routing import Routes
from pericard_kms.storage.sealed_store import SealedStore

_MOUNTS = "core/mounts"


@dataclass(slots=True)
class Mount:
    """An engine at a path; its values lie under its uuid, so a path used again starts empty."""

    type: str
    description: str
    uuid: str
    accessor: str

    def describe(self) -> dict[str, Any]:
        """As sys/mounts shows it."""
        config = {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": False}
        return {**asdict(self), "config": config, "options": {}, "local": False, "seal_wrap": False}


class SecretsEngine(Protocol):
    """What is mounted: routes, and work that comes due by time."""

    routes: Routes

    def tick(self) -> list[str]:
        """Does what is due; returns what was done, for the audit log."""

    def close(self) -> None:
        """Takes down what the engine hung onto the store: its mount was removed."""


EngineTypes = Mapping[str, Callable[[SealedStore, str], SecretsEngine]]
"""By its name in the API, what makes an engine from the opened store and the uuid of its mount."""


class MountTable:
    """The mounted engines by path."""

    def __init__(self, store: SealedStore, types: EngineTypes, always: Iterable[str]) -> None:
        """`types` can be mounted; those that `always` names are from the start, at their own names."""
        self._store, self._types = store, types
        self.mounts: dict[str, Mount] = {}
        self._engines: dict[str, SecretsEngine] = {}
        self._read()
        if not self.mounts:
            for kind in always:
                self.enable(f"{kind}/", kind, "part of every Pericard KMS")
            store.keep_request()
        store.after_rollback.append(self._read)

    def _read(self) -> None:
        table = orjson.loads(self._store.get(_MOUNTS) or b"{}")
        mounts = {path: Mount(**entry) for path, entry in table.items()}
        for path in self._engines.keys() - mounts.keys():
            self._engines.pop(path).close()
        for path, mount in mounts.items():
            if path not in self._engines:
                self._engines[path] = self._types[mount.type](self._store, mount.uuid)
        self.mounts = mounts

    def _write(self, mounts: dict[str, Mount]) -> None:
        self._store.put(_MOUNTS, orjson.dumps({path: asdict(mount) for path, mount in mounts.items()}))
        self._read()

    def enable(self, path: str, kind: str, description: str) -> None:
        """Mounts an engine.

        Raises:
            Invalid: an unknown type, or the path is taken or would hide another.
        """
        if kind not in self._types:
            raise Invalid(f'plugin not found in the catalog: "{kind}"; this KMS has {", ".join(self._types)}')
        taken = [*self.mounts, "sys/", "auth/"]
        if any(path.startswith(other) or other.startswith(path) for other in taken):
            raise Invalid(f"path is already in use at {path}")
        if not path.isascii() or not path.isprintable():
            raise Invalid("a mount path is printable ASCII")
        mount = Mount(kind, description, str(uuid.uuid4()), f"{kind}_{os.urandom(4).hex()}")
        self._write({**self.mounts, path: mount})

    def disable(self, path: str) -> None:
        """Unmounts an engine and deletes its values; an unknown path is no error, as in Vault."""
        mount = self.mounts.get(path)
        if mount is not None:
            for name in self._store.names(f"mount/{mount.uuid}/"):
                self._store.delete(name)
            self._write({other: kept for other, kept in self.mounts.items() if other != path})

    def find(self, path: str) -> tuple[Routes, str]:
        """The routes of the engine that serves `path`, and the rest of the path within it.

        Raises:
            NotFound: nothing is mounted there.
        """
        end = path.find("/") + 1
        while end:
            engine = self._engines.get(path[:end])
            if engine is not None:
                return engine.routes, path[end:]
            end = path.find("/", end) + 1
        raise NotFound(f'no handler for route "{path}". route entry not found.')

    def tick(self) -> list[str]:
        """Lets every engine do what is due; returns what was done, for the audit log."""
        return [f"{path}: {act}" for path, engine in self._engines.items() for act in engine.tick()]
