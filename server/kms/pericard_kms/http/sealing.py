"""Whether the KMS is sealed, and the requests that need no token: initialise, unseal, status and health."""

import base64
from collections.abc import Callable, Mapping

from pericard_kms.access.acl import ROOT
from pericard_kms.ceremonies.opening import Opening
from pericard_kms.ceremonies.seals import Seal
from pericard_kms.errors import Invalid, Unsupported
from pericard_kms.fields import Fields, rfc3339
from pericard_kms.http import log_entries
from pericard_kms.http.unsealed import Unsealed
from pericard_kms.routing import Operation, Request, Response
from pericard_kms.storage.database import Database
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.uplink.suites import KemSuite

# The version of Vault whose API this speaks: clients choose their requests by it.
API_VERSION = "1.14.0+pericard"


class Sealing:
    """Holds what an unsealed KMS serves, with every key; sealing drops it."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        auto: Seal | None,
        suites: Mapping[int, KemSuite],
    ) -> None:
        """With `auto`, an initialised KMS is unsealed at once.

        Raises:
            Misused: the KMS is sealed by another seal.
            Tampered: the seal does not open it.
        """
        self._database, self._clock, self._suites = database, clock, suites
        self._opening = Opening(database, auto)
        self.unsealed: Unsealed | None = None
        self.paths: dict[str, Callable[[Operation, Fields], Response]] = {
            "sys/init": self._initialise,
            "sys/seal-status": lambda *_: self._status(),
            "sys/unseal": self._take_share,
            "sys/health": self._health,
            "sys/leader": lambda *_: Response(bare={"ha_enabled": False}),
        }
        root = self._opening.unwrapped()
        if root is not None:
            self._unseal(root)

    def _status(self) -> Response:
        return Response(
            bare={
                **self._opening.status(),
                "sealed": self.unsealed is None,
                "version": API_VERSION,
                "migration": False,
                "recovery_seal": False,
                "storage_type": "sealed",
            }
        )

    def _health(self, operation: Operation, fields: Fields) -> Response:
        initialised, sealed = self._opening.record() is not None, self.unsealed is None
        status = 200
        if not initialised:
            status = fields.whole("uninitcode", 501)
        elif sealed:
            status = fields.whole("sealedcode", 503)
        if not 200 <= status <= 599:
            raise Invalid("a health code is an HTTP status")
        return Response(
            status=status,
            bare={
                "initialized": initialised,
                "sealed": sealed,
                "standby": False,
                "replication_performance_mode": "disabled",
                "replication_dr_mode": "disabled",
                "server_time_utc": int(self._clock()),
                "version": API_VERSION,
            },
        )

    def _initialise(self, operation: Operation, fields: Fields) -> Response:
        if operation == "read":
            return Response(bare={"initialized": self._opening.record() is not None})
        if operation != "update":
            raise Unsupported
        root, shares = self._opening.initialise(fields, self._clock())
        unsealed = self._unseal(root, "initialised")
        root_token, _ = unsealed.tokens.issue(
            [ROOT], display_name="root", path="auth/token/root", renewable=False
        )
        unsealed.store.flush()
        if shares:
            self.unsealed = None
        return Response(
            bare={
                "keys": [share.hex() for share in shares],
                "keys_base64": [base64.b64encode(share).decode() for share in shares],
                "root_token": root_token,
            }
        )

    def _take_share(self, operation: Operation, fields: Fields) -> Response:
        if operation != "update":
            raise Unsupported
        if self.unsealed is None:
            root = self._opening.take_share(fields)
            if root is not None:
                self._unseal(root)
        return self._status()

    def _unseal(self, root: bytes, event: str = "unsealed") -> Unsealed:
        store = SealedStore(self._database, root, self._clock)
        unsealed = Unsealed(store, self.seal, self._suites)
        store.log.record({"time": rfc3339(self._clock()), "system": [event]})
        store.flush()
        self.unsealed = unsealed
        return unsealed

    def seal(self, request: Request) -> None:
        """Records the sealing and who asked for it, makes that durable, and drops every key."""
        if self.unsealed is None:
            return
        store = self.unsealed.store
        store.keep_request()
        store.log.record(
            {
                "time": rfc3339(self._clock()),
                "system": ["sealed"],
                "request": log_entries.asked(request),
                "auth": log_entries.asker(request.caller),
            }
        )
        store.checkpoint()
        self.unsealed = None
