"""The paths under sys/ for the KMS as a whole: seal it, rotate its keyring, mount engines; and the tools."""

from collections.abc import Callable

from pericard_kms.engines.mounts import MountTable
from pericard_kms.engines.transit.tools import hashed, random_bytes
from pericard_kms.errors import Invalid
from pericard_kms.fields import rfc3339
from pericard_kms.routing import Request, Response, Routes
from pericard_kms.storage.sealed_store import SealedStore


class SystemPaths:
    """Seal, keyring, mounts and tools."""

    def __init__(
        self, routes: Routes, store: SealedStore, mounts: MountTable, seal: Callable[[Request], None]
    ) -> None:
        self._store, self._table = store, mounts
        add = routes.add
        add("seal", update=seal, sudo=True)
        add("rotate", update=self._rotate, sudo=True)
        add("rotate/keyring", update=self._rotate, sudo=True)
        add("key-status", read=self._key_status)
        add("mounts", read=self._mounts)
        add("auth", read=self._auth)
        for depth in (1, 2, 3):
            path = "/".join(f"{{s{number}}}" for number in range(depth))
            add(f"mounts/{path}/tune", read=self._tuning)
            add(f"mounts/{path}", read=self._mount, update=self._enable, delete=self._disable)
        add("tools/random", update=random_bytes)
        add("tools/random/{source}", update=random_bytes)
        add("tools/random/{source}/{size}", update=random_bytes)
        add("tools/hash", update=hashed)
        add("tools/hash/{algorithm}", update=hashed)

    def _rotate(self, request: Request) -> None:
        self._store.rotate_keyring()

    def _key_status(self, request: Request) -> Response:
        ring = self._store.keyring
        term = ring.terms[ring.active]
        return Response(
            {"term": ring.active, "install_time": rfc3339(term.created), "encryptions": term.seals},
            spread=True,
        )

    def _path(self, parts: dict[str, str]) -> str:
        return "/".join(parts[f"s{number}"] for number in range(len(parts)))

    def _mounts(self, request: Request) -> Response:
        return Response({path: mount.describe() for path, mount in self._table.mounts.items()}, spread=True)

    def _auth(self, request: Request) -> Response:
        return Response({"token/": {"type": "token", "description": "token based credentials"}}, spread=True)

    def _mount(self, request: Request, **parts: str) -> Response:
        mount = self._table.mounts.get(self._path(parts) + "/")
        if mount is None:
            raise Invalid("No secret engine mount at " + self._path(parts) + "/")
        return Response(mount.describe(), spread=True)

    def _tuning(self, request: Request, **parts: str) -> Response:
        if self._path(parts) + "/" not in self._table.mounts:
            raise Invalid("cannot fetch sysview for path " + self._path(parts) + "/")
        return Response(
            {"default_lease_ttl": 2764800, "max_lease_ttl": 2764800, "force_no_cache": False}, spread=True
        )

    def _enable(self, request: Request, **parts: str) -> None:
        self._table.enable(
            self._path(parts) + "/", request.fields.text("type"), request.fields.text("description")
        )

    def _disable(self, request: Request, **parts: str) -> None:
        self._table.disable(self._path(parts) + "/")
