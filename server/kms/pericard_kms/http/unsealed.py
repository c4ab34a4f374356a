"""What an unsealed KMS serves: the opened store with its policies, tokens and mounts, and all their paths."""

from collections.abc import Callable, Mapping

from pericard_kms.access.policy_book import PolicyBook
from pericard_kms.access.tokens import TokenStore
from pericard_kms.ceremonies.rekey import Rekey
from pericard_kms.engines.catalog import ALWAYS_MOUNTED, engine_types
from pericard_kms.engines.mounts import MountTable
from pericard_kms.http.audit_paths import AuditPaths
from pericard_kms.http.policy_paths import PolicyPaths
from pericard_kms.http.system_paths import SystemPaths
from pericard_kms.http.token_paths import TokenPaths
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.uplink.suites import KemSuite


class Unsealed:
    """The parts that exist while the KMS is unsealed; sealing drops this object, and every key with it."""

    def __init__(
        self, store: SealedStore, seal: Callable[[Request], None], suites: Mapping[int, KemSuite]
    ) -> None:
        """`seal` is called when a request asks to seal the KMS; `suites` serve the KEM keys of `bundles`."""
        self.store = store
        self.policies = PolicyBook(store)
        self.tokens = TokenStore(store)
        self.mounts = MountTable(store, engine_types(suites), ALWAYS_MOUNTED)
        self._token_routes, self._system_routes = Routes(), Routes()
        TokenPaths(self._token_routes, store, self.tokens, self.policies)
        SystemPaths(self._system_routes, store, self.mounts, seal)
        PolicyPaths(self._system_routes, self.policies, self.tokens)
        AuditPaths(self._system_routes, store)
        Rekey(store, self._system_routes)

    def find(self, path: str) -> tuple[Routes, str]:
        """The routes that serve `path`, and the rest of the path within them.

        Raises:
            NotFound: nothing is mounted there.
        """
        if path.startswith("sys/"):
            return self._system_routes, path[4:]
        if path.startswith("auth/token/"):
            return self._token_routes, path[11:]
        return self.mounts.find(path)

    def tick(self) -> list[str]:
        """Does what came due in tokens and engines; returns what was done, for the audit log."""
        return self.tokens.revoke_expired() + self.mounts.tick()
