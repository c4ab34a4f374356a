"""A request in, a reply out: unseal or authenticate, decide, act, record. No sockets; no disk but the store.

`Kms.handle` changes memory only; its reply must not be sent before `Kms.flush` made it durable (`vault`).
"""

import base64
import hmac
import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from pericard_kms.access.policies import ROOT
from pericard_kms.access.tokens import Token
from pericard_kms.ceremonies import seals
from pericard_kms.ceremonies.seals import Seal
from pericard_kms.engines.mounts import Engines
from pericard_kms.errors import (
    Denied,
    Invalid,
    Misused,
    NotFound,
    RequestError,
    Sealed,
    Tampered,
    Unsupported,
)
from pericard_kms.fields import Fields, rfc3339
from pericard_kms.routing import Answer, Operation, Request, act_of
from pericard_kms.storage.store import Store
from pericard_kms.storage.vault import SEAL, Vault
from pericard_protocol.uplink.suites import SUITES, Suite

log = logging.getLogger(__name__)

# The version of Vault whose API this speaks: clients choose their requests by it.
API_VERSION = "1.14.0+pericard"
_OPERATIONS: dict[str, Operation] = {"GET": "read", "LIST": "list", "POST": "update", "PUT": "update"}
_OPERATIONS |= {"PATCH": "update", "DELETE": "delete", "HEAD": "read"}
# The log of reads of the log would double it at every export.
_NOT_ECHOED = "sys/audit-log/"


@dataclass(slots=True)
class Reply:
    """An HTTP status and a JSON body, or none."""

    status: int
    body: bytes


class Kms:
    """The whole KMS behind one function."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        auto: Seal | None = None,
        suites: Mapping[int, Suite] = SUITES,
    ) -> None:
        """A KMS over `store`. With `auto`, it is initialised under that seal and unseals itself.

        `suites` are the KEM provider's that makes and opens the hospital's KEM keys.
        """
        self._suites = suites
        self._store = store
        self._clock = clock
        self._auto = auto
        self._shares: list[bytes] = []
        self._nonce = ""
        self.engines: Engines | None = None
        self._tokenless: dict[str, Callable[[Operation, Fields], Answer]] = {
            "sys/init": self._init,
            "sys/seal-status": lambda *_: Answer(bare=self._status()),
            "sys/unseal": self._unseal,
            "sys/health": self._health,
            "sys/leader": lambda *_: Answer(bare={"ha_enabled": False}),
        }
        record = self._record()
        if record and auto:
            if record["type"] != auto.kind:
                raise Misused(
                    f"this KMS is sealed by {record['type']}, not by {auto.kind}: start it accordingly"
                )
            self._open(auto.unwrap(record))

    def _record(self) -> dict[str, Any] | None:
        data = self._store.get(SEAL)
        try:
            return None if data is None else dict(json.loads(data))
        except ValueError:
            raise Tampered(
                "the seal's record in the store is not readable: restore the store from a backup"
            ) from None

    # -- the one entry ----------------------------------------------------------------------------------

    def handle(self, method: str, target: str, token: str, body: bytes, remote: str) -> Reply:
        """Serves one request.

        Args:
            method: the HTTP method, LIST included.
            target: the request target, path and query.
            token: the client's token, or "".
            body: the JSON body, or b"".
            remote: the client's address, for the log.
        """
        path, _, query = target.partition("?")
        path = unquote(path) if "%" in path else path
        try:
            if not path.startswith("/v1/"):
                raise NotFound("the API lies under /v1/")
            operation = _OPERATIONS.get(method)
            if operation is None:
                raise Unsupported
            fields = _fields(body, query)
            if operation == "read" and query and fields.flag("list"):
                operation = "list"
            path = path[4:].rstrip("/")
            open_act = self._tokenless.get(path)
            if open_act is not None:
                return _reply(open_act(operation, fields))
            engines = self.engines
            if engines is None:
                raise Sealed
        except RequestError as error:
            return _refusal(error)
        except (Tampered, Misused) as error:
            log.error("%s", error)
            return _refusal_text(500, str(error))
        return self._served(engines, operation, path, fields, token, remote)

    def _served(
        self, engines: Engines, operation: Operation, path: str, fields: Fields, token: str, remote: str
    ) -> Reply:
        request = Request(str(uuid.uuid4()), operation, path, fields, token, remote)
        vault = engines.vault
        asked = _asked(request)
        entry: dict[str, Any] = {"time": rfc3339(vault.clock()), "request": asked}
        answer: Answer | None = None
        try:
            request.token = engines.tokens.authenticate(token)
            if request.token is None:
                raise Denied  # and its fields are not logged: a stranger could fill the disk with them
            # Before the act, so that what cannot be logged (nested too deep) is not done.
            asked["data"] = vault.recorder.hidden(fields.raw)
            answer = self._act(engines, request, request.token)
            vault.keep()
            reply = _reply(answer, request.id)
            shown = None if path.startswith(_NOT_ECHOED) else answer.data or answer.auth
            entry["response"] = {"status": reply.status, "data": vault.recorder.hidden(shown)}
        except RequestError as error:
            vault.discard()
            reply = _refusal(error)
            entry["response"] = {"status": reply.status, "error": str(error)}
        except RecursionError:
            vault.discard()
            reply = _refusal_text(400, "the request is nested too deep")
            entry["response"] = {"status": 400, "error": "nested too deep"}
        except Exception as error:  # the KMS must answer and go on; what the request did is forgotten
            vault.discard()
            log.exception("request %s to %s failed", request.id, path)
            text = str(error) if isinstance(error, Tampered) else f"internal error; request {request.id}"
            reply = _refusal_text(500, text)
            entry["response"] = {"status": 500, "error": type(error).__name__}
        if request.token is not None:
            entry["auth"] = _who(request.token)
        if self.engines is engines:  # sys/seal has closed the log already, and recorded itself
            vault.record(entry)
        return reply

    def _act(self, engines: Engines, request: Request, token: Token) -> Answer:
        if token.num_uses:
            engines.tokens.use(token)
            engines.vault.keep()
        acl = engines.policies.acl(tuple(token.policies))
        path, operation = request.path, request.operation
        try:
            routes, rest = engines.find(path)
            route, parameters = routes.find(rest)
        except NotFound:
            # Who may nothing there learns nothing of what is there.
            if not acl.capabilities(path) - {"deny"}:
                raise Denied from None
            raise
        capability: str = operation
        if operation == "update" and route.exists is not None and not route.exists(parameters):
            capability = "create"
        allowed = acl.allows(capability, path) or (operation == "list" and acl.allows("list", path + "/"))
        if not allowed or (route.sudo and not acl.allows("sudo", path)):
            raise Denied
        result = act_of(route, operation)(request, **parameters)
        if isinstance(result, Answer):
            return result
        return Answer(result) if result is not None else Answer(status=204)

    # -- durability -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Makes everything handled so far durable.

        Raises:
            StorageFailed: nothing of it was: every reply that waits must be replaced by the error.
        """
        if self.engines is None:
            return
        vault = self.engines.vault
        lost, vault.lost = vault.lost, None
        if vault.waits:
            try:
                vault.flush()
            finally:
                vault.lost = None
        if lost is not None:
            # A flush in the middle of the group failed: what was handled before it is gone.
            raise lost

    def tick(self) -> None:
        """Does what time brings: expiry, rotation, destruction, resealing, a checkpoint."""
        if self.engines is None:
            return
        vault = self.engines.vault
        try:
            done = self.engines.tick()
            vault.keep()
            if done:
                vault.record({"time": rfc3339(vault.clock()), "system": done})
            vault.flush()
            vault.reseal()
            vault.checkpoint_when_due()
        except Exception:  # the clock goes on: the next tick tries again
            vault.discard()
            log.exception("the KMS could not do its periodic work")

    # -- while sealed -----------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        record = self._record() or {}
        return {
            "type": record.get("type", self._auto.kind if self._auto else "shamir"),
            "initialized": bool(record),
            "sealed": self.engines is None,
            "t": record.get("t", 0),
            "n": record.get("n", 0),
            "progress": len(self._shares),
            "nonce": self._nonce,
            "version": API_VERSION,
            "migration": False,
            "recovery_seal": False,
            "storage_type": "sealed",
        }

    def _health(self, operation: Operation, fields: Fields) -> Answer:
        initialised, sealed = self._record() is not None, self.engines is None
        status = 200
        if not initialised:
            status = fields.whole("uninitcode", 501)
        elif sealed:
            status = fields.whole("sealedcode", 503)
        if not 200 <= status <= 599:
            raise Invalid("a health code is an HTTP status")
        return Answer(
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

    def _init(self, operation: Operation, fields: Fields) -> Answer:
        if operation == "read":
            return Answer(bare={"initialized": self._record() is not None})
        if operation != "update":
            raise Unsupported
        if self._record() is not None:
            raise Invalid("Vault is already initialized")
        if fields.names("pgp_keys") or fields.text("root_token_pgp_key"):
            raise Invalid("PGP keys are not supported: give each keeper their share in person")
        root = os.urandom(32)
        shares: list[bytes] = []
        if self._auto is not None:
            record = self._auto.wrap(root)
        else:
            count, threshold = fields.whole("secret_shares", 5), fields.whole("secret_threshold", 3)
            try:
                record, shares = seals.shamir_record(root, count, threshold)
            except Misused as error:
                raise Invalid(f"invalid seal configuration: {error}") from None
        Vault.initialise(self._store, root, record, self._clock())
        engines = self._open(root, "initialised")
        root_token, _ = engines.tokens.issue(
            [ROOT], display_name="root", path="auth/token/root", renewable=False
        )
        engines.vault.flush()
        if self._auto is None:
            self._close()
        return Answer(
            bare={
                "keys": [share.hex() for share in shares],
                "keys_base64": [base64.b64encode(share).decode() for share in shares],
                "root_token": root_token,
            }
        )

    def _unseal(self, operation: Operation, fields: Fields) -> Answer:
        if operation != "update":
            raise Unsupported
        record = self._record()
        if record is None:
            raise Invalid("Vault is not initialized")
        if self.engines is not None:
            return Answer(bare=self._status())
        if record["type"] != "shamir":
            raise Invalid(f"this KMS is sealed by {record['type']}: restart it with that seal")
        if fields.flag("reset"):
            self._shares, self._nonce = [], ""
            return Answer(bare=self._status())
        share = seals.read_share(fields.text("key"))
        if not any(hmac.compare_digest(share, known) for known in self._shares):
            self._shares.append(share)
        self._nonce = self._nonce or str(uuid.uuid4())
        if len(self._shares) >= record["t"]:
            shares, self._shares, self._nonce = self._shares, [], ""
            try:
                root = seals.shamir_unwrap(record, shares)
            except Tampered:
                raise Invalid(
                    "unseal failed, invalid key: these shares are not this KMS's, start again"
                ) from None
            self._open(root)
        return Answer(bare=self._status())

    def _open(self, root: bytes, event: str = "unsealed") -> Engines:
        vault = Vault(self._store, root, self._clock)
        engines = Engines(vault, self._seal_now, self._suites)
        vault.record({"time": rfc3339(self._clock()), "system": [event]})
        vault.flush()
        self.engines = engines
        return engines

    def _seal_now(self, request: Request) -> None:
        """Records the sealing and who asked for it, makes it durable, and forgets every key."""
        if self.engines is not None:
            vault = self.engines.vault
            vault.keep()
            vault.record(
                {
                    "time": rfc3339(self._clock()),
                    "system": ["sealed"],
                    "request": _asked(request),
                    "auth": _who(request.caller),
                }
            )
            vault.checkpoint()
            self._close()

    def _close(self) -> None:
        self.engines = None


def _asked(request: Request) -> dict[str, Any]:
    return {"id": request.id, "operation": request.operation, "path": request.path, "remote": request.remote}


def _who(token: Token) -> dict[str, Any]:
    return {"accessor": token.accessor, "display_name": token.display_name, "policies": token.policies}


def _fields(body: bytes, query: str) -> Fields:
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


def _reply(answer: Answer, request_id: str = "") -> Reply:
    if answer.bare is not None:
        return Reply(answer.status, orjson.dumps(answer.bare))
    if answer.status == 204:
        return Reply(204, b"")
    envelope: dict[str, Any] = dict(answer.data or {}) if answer.spread else {}
    envelope |= {
        "request_id": request_id,
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": answer.data,
        "wrap_info": None,
        "warnings": answer.warnings,
        "auth": answer.auth,
    }
    return Reply(answer.status, orjson.dumps(envelope))


def _refusal(error: RequestError) -> Reply:
    return Reply(error.status, orjson.dumps({"errors": [str(error)] if str(error) else []}))


def _refusal_text(status: int, text: str) -> Reply:
    return Reply(status, orjson.dumps({"errors": [text]}))
