"""The opened KMS's parts put together: policies, tokens, system, and the engines mounted at paths."""

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import orjson

from pericard_kms.access.tokens import Tokens
from pericard_kms.engines.bundles import BundleEngine
from pericard_kms.engines.custody import CustodyEngine
from pericard_kms.engines.devices import DeviceEngine
from pericard_kms.engines.keys import Key, KeyBox
from pericard_kms.engines.patients import PatientEngine
from pericard_kms.engines.transit import Transit, hashed, random_bytes
from pericard_kms.engines.transit_keys import TransitKeys
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.http.system import PolicyBook, System
from pericard_kms.routing import Routes
from pericard_kms.storage.vault import Vault
from pericard_protocol.uplink.suites import Suite

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


class Engine(Protocol):
    """What is mounted: routes, and work that comes due by time."""

    routes: Routes

    def tick(self) -> list[str]:
        """Does what is due; returns what was done, for the audit log."""

    def close(self) -> None:
        """The mount is gone."""


class TransitEngine:
    """The transit engine of one mount: data and key operations over one box of keys."""

    def __init__(self, vault: Vault, mount: str) -> None:
        def told(key: Key, reason: str) -> None:
            vault.note(f"rotated {key.name} to version {key.latest}: {reason}")

        self._keys = KeyBox(vault, mount, told)
        self._internal = KeyBox(vault, mount + "/internal")
        data, keys = Transit(self._keys), TransitKeys(self._keys, self._internal, vault)
        self.tick = keys.tick
        self.routes = Routes()
        add = self.routes.add
        add("encrypt/{name}", update=self._encrypting(data, keys), exists=keys.exists)
        add("decrypt/{name}", update=data.decrypt)
        add("rewrap/{name}", update=data.rewrap)
        add("datakey/{form}/{name}", update=data.data_key)
        add("encapsulate/{name}", update=data.encapsulate)
        add("decapsulate/{name}", update=data.decapsulate)
        for path, act in (("sign", data.sign), ("verify", data.verify), ("hmac", data.mac)):
            add(f"{path}/{{name}}", update=act)
            add(f"{path}/{{name}}/{{algorithm}}", update=act)
        add("hash", update=hashed)
        add("hash/{algorithm}", update=hashed)
        add("random", update=random_bytes)
        add("random/{source}", update=random_bytes)
        add("random/{source}/{size}", update=random_bytes)
        add("keys", list=keys.index)
        add("keys/{name}", read=keys.read, update=keys.create, delete=keys.delete)
        add("keys/{name}/config", update=keys.configure)
        add("keys/{name}/rotate", update=keys.rotate)
        add("keys/{name}/trim", update=keys.trim)
        add("keys/{name}/state", update=keys.set_state)
        add("keys/{name}/destroy", update=keys.schedule_destruction)
        add("keys/{name}/cancel-destruction", update=keys.cancel_destruction)
        add("keys/{name}/import", update=keys.import_key)
        add("keys/{name}/import_version", update=keys.import_version)
        add("wrapping_key", read=keys.wrapping_key)
        add("export/{kind}/{name}", read=keys.export)
        add("export/{kind}/{name}/{version}", read=keys.export)
        add("byok-export/{destination}/{source}", read=keys.export_wrapped)
        add("byok-export/{destination}/{source}/{version}", read=keys.export_wrapped)
        add("backup/{name}", read=keys.backup)
        add("restore", update=keys.restore)
        add("restore/{name}", update=keys.restore)

    @staticmethod
    def _encrypting(data: Transit, keys: TransitKeys) -> Any:
        def encrypt(request: Any, name: str) -> Any:
            keys.upsert(request, name)
            return data.encrypt(request, name)

        return encrypt

    def close(self) -> None:
        """Detaches from the vault."""
        self._keys.close()
        self._internal.close()


_TYPES: dict[str, Callable[[Vault, str], Engine]] = {
    "transit": TransitEngine,
    "devices": DeviceEngine,
    "patients": PatientEngine,
    "fhe": CustodyEngine,
}
# What a hospital always has; transit is mounted by whoever uses it, as with Vault.
_FIXED = ("bundles", "devices", "fhe", "patients")


class Engines:
    """Everything that an unsealed KMS serves."""

    def __init__(self, vault: Vault, seal: Any, suites: Mapping[int, Suite]) -> None:
        """`seal` is called when a request asks for it; `suites` serve the KEM keys of `bundles`."""
        self.vault = vault
        self._types: dict[str, Callable[[Vault, str], Engine]] = {
            **_TYPES,
            "bundles": partial(BundleEngine, suites=suites),
        }
        self.policies = PolicyBook(vault)
        self.tokens = Tokens(vault, self.policies.acl, self.policies.exists)
        self.system = System(vault, self.policies, self, seal)
        self.mounts: dict[str, Mount] = {}
        self._engines: dict[str, Engine] = {}
        self._read_mounts()
        if not self.mounts:
            for kind in _FIXED:
                self.enable(f"{kind}/", kind, "part of every Pericard KMS")
            vault.keep()
        vault.forget.append(self._read_mounts)

    def _read_mounts(self) -> None:
        table = orjson.loads(self.vault.get(_MOUNTS) or b"{}")
        mounts = {path: Mount(**entry) for path, entry in table.items()}
        for path in self._engines.keys() - mounts.keys():
            self._engines.pop(path).close()
        for path, mount in mounts.items():
            if path not in self._engines:
                self._engines[path] = self._types[mount.type](self.vault, mount.uuid)
        self.mounts = mounts

    def _write_mounts(self, mounts: dict[str, Mount]) -> None:
        self.vault.put(_MOUNTS, orjson.dumps({path: asdict(mount) for path, mount in mounts.items()}))
        self._read_mounts()

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
        self._write_mounts({**self.mounts, path: mount})

    def disable(self, path: str) -> None:
        """Unmounts an engine and deletes all that lay under it; an unknown path is no error, as in Vault."""
        mount = self.mounts.get(path)
        if mount is not None:
            for name in self.vault.names(f"mount/{mount.uuid}/"):
                self.vault.delete(name)
            self._write_mounts({other: kept for other, kept in self.mounts.items() if other != path})

    def find(self, path: str) -> tuple[Routes, str]:
        """The routes that serve `path`, and the rest of the path within them.

        Raises:
            NotFound: nothing is mounted there.
        """
        if path.startswith("sys/"):
            return self.system.routes, path[4:]
        if path.startswith("auth/token/"):
            return self.tokens.routes, path[11:]
        end = path.find("/") + 1
        while end:
            engine = self._engines.get(path[:end])
            if engine is not None:
                return engine.routes, path[end:]
            end = path.find("/", end) + 1
        raise NotFound(f'no handler for route "{path}". route entry not found.')

    def tick(self) -> list[str]:
        """What came due in tokens and engines."""
        done = self.tokens.tick()
        for path, engine in self._engines.items():
            done += [f"{path}: {act}" for act in engine.tick()]
        return done
