"""The paths under auth/token: make, look up, renew and revoke tokens, as Vault's clients ask for it."""

from typing import Any

from pericard_kms.access.acl import ROOT
from pericard_kms.access.policy_book import PolicyBook
from pericard_kms.access.token import Token
from pericard_kms.access.tokens import TokenStore
from pericard_kms.errors import Denied, Invalid
from pericard_kms.fields import Fields, rfc3339
from pericard_kms.routing import Request, Response, Routes
from pericard_kms.storage.sealed_store import SealedStore

# Vault's defaults: 32 days, also the longest a token without a period can be renewed to.
DEFAULT_TTL_S = MAX_TTL_S = 768 * 3600.0


class TokenPaths:
    """The routes under auth/token."""

    def __init__(self, routes: Routes, store: SealedStore, tokens: TokenStore, book: PolicyBook) -> None:
        self._store, self._tokens, self._book = store, tokens, book
        add = routes.add
        add("create", update=self._create)
        add("create-orphan", update=self._create_orphan, sudo=True)
        add("lookup", read=self._lookup, update=self._lookup)
        add("lookup-self", read=self._lookup_self, update=self._lookup_self)
        add("lookup-accessor", update=self._lookup_accessor)
        add("renew", update=self._renew)
        add("renew-self", update=self._renew_self)
        add("renew-accessor", update=self._renew_accessor)
        add("revoke", update=self._revoke)
        add("revoke-self", update=self._revoke_self)
        add("revoke-accessor", update=self._revoke_accessor)
        add("revoke-orphan", update=self._revoke_orphan, sudo=True)
        add("accessors", list=self._accessors, sudo=True)
        add("tidy", update=self._tidy)

    # -- creation ---------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Response:
        return self._issue(request, orphan=False)

    def _create_orphan(self, request: Request) -> Response:
        return self._issue(request, orphan=True)

    def _issue(self, request: Request, *, orphan: bool) -> Response:
        fields, parent = request.fields, request.caller
        may_all = parent.root or self._book.acl(tuple(parent.policies)).allows("sudo", "auth/token/create")
        if fields.flag("no_parent") and not orphan:
            if not may_all:
                raise Invalid("root or sudo privileges required to create orphan token")
            orphan = True
        if fields.text("type", "service") not in ("service", "default", ""):
            raise Invalid("only service tokens are issued")
        if "id" in fields:
            raise Invalid("the KMS chooses token ids: leave id out")
        policies = sorted({name.lower() for name in fields.names("policies")}) or list(parent.policies)
        if ROOT in policies and not parent.root:
            raise Invalid("root tokens may not be created without parent token being root")
        if not may_all and (extra := set(policies) - set(parent.policies) - {"default"}):
            raise Invalid(
                f"child policies must be subset of parent; not in parent: {', '.join(sorted(extra))}"
            )
        if ROOT not in policies and not fields.flag("no_default_policy"):
            policies = sorted({*policies, "default"})
        missing = [name for name in policies if name != ROOT and not self._book.exists(name)]
        warnings = [f'policy "{name}" does not exist' for name in missing]
        period = fields.seconds("period")
        if period and not may_all:
            raise Invalid("root or sudo privileges required to create periodic token")
        limit = fields.seconds("explicit_max_ttl")
        ttl = fields.seconds("ttl", fields.seconds("lease"))
        uses = fields.whole("num_uses")
        if uses < 0:
            raise Invalid("number of uses cannot be negative")
        if not ttl and ROOT not in policies:
            ttl = DEFAULT_TTL_S
        if period:
            ttl = period
        elif ttl > MAX_TTL_S:
            warnings.append(f"TTL of {ttl:.0f} s exceeded the maximum of {MAX_TTL_S:.0f} s and was capped")
            ttl = MAX_TTL_S
        if limit:
            ttl = min(ttl or limit, limit)
        if parent.expires and not ttl:
            raise Invalid("expiring root tokens cannot create non-expiring root tokens")
        name = fields.text("display_name")
        token_id, token = self._tokens.issue(
            policies,
            None if orphan else parent,
            ttl=ttl,
            explicit_max_ttl=limit,
            period=period,
            num_uses=uses,
            renewable=fields.flag("renewable", True) and ttl > 0,
            display_name=f"token-{name}" if name else "token",
            path=request.path,
            meta=fields.texts("meta") or None,
        )
        return Response(auth=self._envelope(token, token_id), warnings=warnings or None)

    def _envelope(self, token: Token, token_id: str) -> dict[str, Any]:
        return {
            "client_token": token_id,
            "accessor": token.accessor,
            "policies": token.policies,
            "token_policies": token.policies,
            "metadata": token.meta,
            "lease_duration": self._seconds_left(token),
            "renewable": token.renewable,
            "entity_id": "",
            "token_type": "service",
            "orphan": token.orphan,
            "mfa_requirement": None,
            "num_uses": token.num_uses,
        }

    def _seconds_left(self, token: Token) -> int:
        return max(0, round(token.expires - self._store.clock())) if token.expires else 0

    # -- lookup, renewal, revocation --------------------------------------------------------------------

    def _given(self, request: Request) -> tuple[str, Token]:
        token_id = request.fields.text("token") or request.token_id
        token = self._tokens.authenticate(token_id)
        if token is None:
            raise Denied("bad token")
        return token_id, token

    def _lookup(self, request: Request) -> dict[str, Any]:
        token_id, token = self._given(request)
        return self._describe(token, token_id)

    def _lookup_self(self, request: Request) -> dict[str, Any]:
        return self._describe(request.caller, request.token_id)

    def _lookup_accessor(self, request: Request) -> dict[str, Any]:
        return self._describe(token_of_accessor(self._tokens, request), "")

    def _describe(self, token: Token, token_id: str) -> dict[str, Any]:
        data: dict[str, Any] = {
            "accessor": token.accessor,
            "creation_time": int(token.created),
            "creation_ttl": int(token.ttl),
            "display_name": token.display_name,
            "entity_id": "",
            "expire_time": rfc3339(token.expires) if token.expires else None,
            "explicit_max_ttl": int(token.explicit_max_ttl),
            "id": token_id,
            "issue_time": rfc3339(token.created),
            "meta": token.meta,
            "num_uses": token.num_uses,
            "orphan": token.orphan,
            "path": token.path,
            "policies": token.policies,
            "renewable": token.renewable,
            "ttl": self._seconds_left(token),
            "type": "service",
        }
        if token.period:
            data["period"] = int(token.period)
        return data

    def _renew(self, request: Request) -> Response:
        token_id = request.fields.text("token")
        token = self._tokens.authenticate(token_id)
        if token is None:
            raise Invalid("token not found")
        return self._prolong(token, token_id, request.fields)

    def _renew_self(self, request: Request) -> Response:
        return self._prolong(request.caller, request.token_id, request.fields)

    def _renew_accessor(self, request: Request) -> Response:
        return self._prolong(token_of_accessor(self._tokens, request), "", request.fields)

    def _prolong(self, token: Token, token_id: str, fields: Fields) -> Response:
        if not token.renewable or not token.expires:
            raise Invalid("lease is not renewable")
        now = self._store.clock()
        wanted = token.period or fields.seconds("increment") or token.ttl
        last = token.created + min(token.explicit_max_ttl or MAX_TTL_S, MAX_TTL_S)
        if token.period:
            last = token.created + token.explicit_max_ttl if token.explicit_max_ttl else now + token.period
        token.expires = min(now + wanted, last)
        if token.expires <= now:
            raise Invalid("past the max TTL, cannot renew")
        self._tokens.save(token)
        return Response(auth=self._envelope(token, token_id))

    def _revoke(self, request: Request) -> None:
        token_id = request.fields.text("token")
        if not token_id:
            raise Invalid("missing token ID")
        token = self._tokens.authenticate(token_id)
        if token is not None:
            self._tokens.revoke(token)

    def _revoke_self(self, request: Request) -> None:
        self._tokens.revoke(request.caller)

    def _revoke_accessor(self, request: Request) -> None:
        self._tokens.revoke(token_of_accessor(self._tokens, request))

    def _revoke_orphan(self, request: Request) -> None:
        _, token = self._given(request)
        self._tokens.revoke(token, keep_children=True)

    def _accessors(self, request: Request) -> dict[str, Any]:
        return {"keys": self._tokens.accessors()}

    def _tidy(self, request: Request) -> Response:
        self._tokens.revoke_expired()
        return Response(status=202, warnings=["Tidy operation successfully done."])


def token_of_accessor(tokens: TokenStore, request: Request) -> Token:
    """The live token whose accessor the request gives.

    Raises:
        Invalid: there is none.
    """
    accessor = request.fields.text("accessor")
    if not accessor:
        raise Invalid("missing accessor")
    token = tokens.of_accessor(accessor)
    if token is None:
        raise Invalid("invalid accessor")
    return token
