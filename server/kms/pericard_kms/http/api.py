"""A request in, a reply out: authenticate, decide, act, record. No sockets; no disk but the store.

`Api.handle` changes memory only; its reply must not be sent before `Api.flush` made it durable.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pericard_kms.access.token import Token
from pericard_kms.ceremonies.seals import Seal
from pericard_kms.errors import Answered, Denied, Misused, NotFound, Sealed, Tampered, Unsupported
from pericard_kms.fields import Fields, rfc3339
from pericard_kms.http import log_entries, messages
from pericard_kms.http.messages import HttpReply
from pericard_kms.http.sealing import Sealing
from pericard_kms.http.unsealed import Unsealed
from pericard_kms.routing import Operation, Request, Response, act_of
from pericard_kms.storage.database import Database
from pericard_protocol.uplink.suites import SUITES, KemSuite

log = logging.getLogger(__name__)
_OPERATIONS: dict[str, Operation] = {"GET": "read", "LIST": "list", "POST": "update", "PUT": "update"}
_OPERATIONS |= {"PATCH": "update", "DELETE": "delete", "HEAD": "read"}
# What is read of the audit log is not written into it again: each export would double the log.
_NOT_ECHOED = "sys/audit-log/"


class Api:
    """The whole KMS behind one function."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        auto: Seal | None = None,
        suites: Mapping[int, KemSuite] = SUITES,
    ) -> None:
        """A KMS over `database`. With `auto`, it is initialised under that seal and unseals itself.

        `suites` are the KEM provider's that makes and opens the hospital's KEM keys.
        """
        self._sealing = Sealing(database, clock, auto, suites)

    @property
    def unsealed(self) -> Unsealed | None:
        """What the KMS serves to those with a token; None while it is sealed."""
        return self._sealing.unsealed

    def handle(self, method: str, target: str, token: str, body: bytes, remote: str) -> HttpReply:
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
            fields = messages.read_fields(body, query)
            if operation == "read" and query and fields.flag("list"):
                operation = "list"
            path = path[4:].rstrip("/")
            open_act = self._sealing.paths.get(path)
            if open_act is not None:
                return messages.reply(open_act(operation, fields))
            unsealed = self.unsealed
            if unsealed is None:
                raise Sealed
        except Answered as error:
            return messages.refuse(error)
        except (Tampered, Misused) as error:
            log.error("%s", error)
            return messages.refuse_with(500, str(error))
        return self._serve(unsealed, operation, path, fields, token, remote)

    def _serve(
        self, unsealed: Unsealed, operation: Operation, path: str, fields: Fields, token: str, remote: str
    ) -> HttpReply:
        request = Request(str(uuid.uuid4()), operation, path, fields, token, remote)
        store = unsealed.store
        asked = log_entries.asked(request)
        entry: dict[str, Any] = {"time": rfc3339(store.clock()), "request": asked}
        response: Response | None = None
        try:
            request.token = unsealed.tokens.authenticate(token)
            if request.token is None:
                # Its fields are not logged: a stranger could fill the disk with them.
                raise Denied
            # Before the request is carried out: one that cannot be logged (nested too deep) is not done.
            asked["data"] = store.log.recorder.hidden(fields.raw)
            response = self._act(unsealed, request, request.token)
            store.keep_request()
            reply = messages.reply(response, request.id)
            shown = None if path.startswith(_NOT_ECHOED) else response.data or response.auth
            entry["response"] = {"status": reply.status, "data": store.log.recorder.hidden(shown)}
        except Answered as error:
            store.discard_request()
            reply = messages.refuse(error)
            entry["response"] = {"status": reply.status, "error": str(error)}
        except RecursionError:
            store.discard_request()
            reply = messages.refuse_with(400, "the request is nested too deep")
            entry["response"] = {"status": 400, "error": "nested too deep"}
        except Exception as error:  # answered, and undone: the KMS goes on serving others
            store.discard_request()
            log.exception("request %s to %s failed", request.id, path)
            text = str(error) if isinstance(error, Tampered) else f"internal error; request {request.id}"
            reply = messages.refuse_with(500, text)
            entry["response"] = {"status": 500, "error": type(error).__name__}
        if request.token is not None:
            entry["auth"] = log_entries.asker(request.token)
        if self.unsealed is unsealed:  # sys/seal recorded itself, and its log is closed
            store.log.record(entry)
        return reply

    def _act(self, unsealed: Unsealed, request: Request, token: Token) -> Response:
        if token.num_uses:
            unsealed.tokens.use(token)
            unsealed.store.keep_request()
        acl = unsealed.policies.acl(tuple(token.policies))
        path, operation = request.path, request.operation
        try:
            routes, rest = unsealed.find(path)
            route, parameters = routes.find(rest)
        except NotFound:
            # A caller without any right at this path is not told whether it exists.
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
        if isinstance(result, Response):
            return result
        return Response(result) if result is not None else Response(status=204)

    # -- durability -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Makes everything handled so far durable.

        Raises:
            StorageFailed: nothing of it was: every reply that waits must be replaced by the error.
        """
        if self.unsealed is None:
            return
        store = self.unsealed.store
        earlier, store.failed_flush = store.failed_flush, None
        if store.has_waiting:
            try:
                store.flush()
            finally:
                store.failed_flush = None
        if earlier is not None:
            # A request of this group flushed by itself and failed: the requests before it are lost as well.
            raise earlier

    def tick(self) -> None:
        """Does what time brings: expiry, rotation, destruction, resealing, a checkpoint."""
        if self.unsealed is None:
            return
        store = self.unsealed.store
        try:
            done = self.unsealed.tick()
            store.keep_request()
            if done:
                store.log.record({"time": rfc3339(store.clock()), "system": done})
            store.flush()
            store.reseal()
            store.checkpoint_when_due()
        except Exception:  # the next tick tries again
            store.discard_request()
            log.exception("the KMS could not do its periodic work")
