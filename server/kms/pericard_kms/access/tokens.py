"""Tokens: who may ask. Stored only as an HMAC of the token, in a tree: revoking a token revokes its children.

The HMAC key lies behind the barrier, so a stolen store holds nothing to guess tokens against, and looking
a token up compares no secret byte by byte.
"""

import base64
import hmac
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from pericard_kms.access.policies import ROOT, Acl
from pericard_kms.errors import Denied, Invalid
from pericard_kms.fields import Fields, rfc3339
from pericard_kms.routing import Answer, Request, Routes
from pericard_kms.storage.vault import Vault

_SALT = "core/token-key"
_ENTRY = "token/entry/"
_CHILD = "token/child/"
_ACCESSOR = "token/accessor/"
# Vault's defaults: 32 days, also the longest a token without a period can be renewed to.
DEFAULT_TTL_S = MAX_TTL_S = 768 * 3600.0


@dataclass(slots=True)
class Token:
    """A token's record; the token itself is not in it."""

    key: str  # HMAC of the token, hex: its name in the store
    accessor: str
    policies: list[str]
    parent: str
    created: float
    ttl: float  # 0: never expires (a root token)
    expires: float
    explicit_max_ttl: float = 0.0
    period: float = 0.0
    num_uses: int = 0
    renewable: bool = True
    display_name: str = "token"
    path: str = "auth/token/create"
    meta: dict[str, str] | None = None

    @property
    def orphan(self) -> bool:
        """Whether no other token's revocation takes this one along."""
        return not self.parent

    @property
    def root(self) -> bool:
        """Whether it may do everything."""
        return ROOT in self.policies


class Tokens:
    """The token store and the paths under auth/token."""

    def __init__(
        self, vault: Vault, acl: Callable[[tuple[str, ...]], Acl], exists: Callable[[str], bool]
    ) -> None:
        """`acl` gives the rules of a set of policies, `exists` whether a policy is written."""
        self._vault = vault
        self._acl = acl
        self._exists = exists
        self._opened: dict[str, Token] = {}
        vault.forget.append(self._forget)
        salt = vault.get(_SALT)
        if salt is None:
            salt = os.urandom(32)
            vault.put(_SALT, salt)
            vault.keep()
        self._salt = salt
        self.routes = Routes()
        add = self.routes.add
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

    def _forget(self) -> None:
        self._opened.clear()

    def _key(self, token: str) -> str:
        return hmac.digest(self._salt, token.encode("utf-8", "surrogatepass"), "sha256").hex()

    # -- the store --------------------------------------------------------------------------------------

    def _load(self, key: str) -> Token | None:
        token = self._opened.get(key)
        if token is None and (data := self._vault.get(_ENTRY + key)):
            token = Token(**orjson.loads(data))
            self._opened[key] = token
        if token is not None and token.expires and token.expires <= self._vault.clock():
            return None
        return token

    def _save(self, token: Token) -> None:
        self._vault.put(_ENTRY + token.key, orjson.dumps(asdict(token)))
        self._opened[token.key] = token

    def issue(self, policies: list[str], parent: Token | None = None, **settings: Any) -> tuple[str, Token]:
        """Makes a token: (the token, its record). The one time that the token itself exists here."""
        now = self._vault.clock()
        token_id = "hvs." + base64.urlsafe_b64encode(os.urandom(24)).decode()  # 192 bits: never guessed
        ttl = settings.pop("ttl", 0.0)
        token = Token(
            self._key(token_id),
            base64.urlsafe_b64encode(os.urandom(18)).decode(),
            policies,
            parent.key if parent else "",
            now,
            ttl,
            now + ttl if ttl else 0.0,
            **settings,
        )
        self._save(token)
        self._vault.put(_ACCESSOR + token.accessor, token.key.encode())
        if parent:
            self._vault.put(f"{_CHILD}{parent.key}/{token.key}", b"1")
        return token_id, token

    def authenticate(self, token_id: str) -> Token | None:
        """The record of a live token, or None."""
        if not 0 < len(token_id) <= 256:
            return None
        return self._load(self._key(token_id))

    def use(self, token: Token) -> None:
        """Counts one use of a token that was issued for a number of them; the last one ends it."""
        if token.num_uses:
            if token.num_uses == 1:
                self.revoke(token)
            else:
                token.num_uses -= 1
                self._save(token)

    def revoke(self, token: Token, *, keep_children: bool = False) -> None:
        """Ends a token, and all that it made unless they are kept as orphans."""
        waiting = [token]
        while waiting:
            one = waiting.pop()
            prefix = f"{_CHILD}{one.key}/"
            for name in self._vault.names(prefix):
                self._vault.delete(name)
                data = self._vault.get(_ENTRY + name.removeprefix(prefix))
                if data is None:
                    continue
                child = Token(**orjson.loads(data))
                if keep_children:
                    child.parent = ""
                    self._save(child)
                else:
                    waiting.append(child)
            if one.parent:
                self._vault.delete(f"{_CHILD}{one.parent}/{one.key}")
            self._vault.delete(_ENTRY + one.key)
            self._vault.delete(_ACCESSOR + one.accessor)
            self._opened.pop(one.key, None)

    def tick(self) -> list[str]:
        """Revokes what expired, with its children; returns what was done, for the audit log."""
        done = []
        now = self._vault.clock()
        for name in self._vault.names(_ENTRY):
            data = self._vault.get(name)
            if data is not None:
                token = Token(**orjson.loads(data))
                if token.expires and token.expires <= now:
                    self.revoke(token)
                    done.append(f"expired the token of accessor {token.accessor}")
        return done

    # -- creation ---------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Answer:
        return self._make(request, orphan=False)

    def _create_orphan(self, request: Request) -> Answer:
        return self._make(request, orphan=True)

    def _make(self, request: Request, *, orphan: bool) -> Answer:
        fields, parent = request.fields, request.caller
        may_all = parent.root or self._acl(tuple(parent.policies)).allows("sudo", "auth/token/create")
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
        missing = [name for name in policies if name != ROOT and not self._exists(name)]
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
        token_id, token = self.issue(
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
        return Answer(auth=self._auth(token, token_id), warnings=warnings or None)

    def _auth(self, token: Token, token_id: str) -> dict[str, Any]:
        return {
            "client_token": token_id,
            "accessor": token.accessor,
            "policies": token.policies,
            "token_policies": token.policies,
            "metadata": token.meta,
            "lease_duration": self._left(token),
            "renewable": token.renewable,
            "entity_id": "",
            "token_type": "service",
            "orphan": token.orphan,
            "mfa_requirement": None,
            "num_uses": token.num_uses,
        }

    def _left(self, token: Token) -> int:
        return max(0, round(token.expires - self._vault.clock())) if token.expires else 0

    # -- lookup, renewal, revocation --------------------------------------------------------------------

    def _given(self, request: Request) -> tuple[str, Token]:
        token_id = request.fields.text("token") or request.token_id
        token = self.authenticate(token_id)
        if token is None:
            raise Denied("bad token")
        return token_id, token

    def by_accessor(self, request: Request) -> Token:
        """The live token whose accessor the request gives.

        Raises:
            Invalid: there is none.
        """
        accessor = request.fields.text("accessor")
        if not accessor:
            raise Invalid("missing accessor")
        key = self._vault.get(_ACCESSOR + accessor) if accessor.isascii() else None
        token = self._load(key.decode()) if key else None
        if token is None:
            raise Invalid("invalid accessor")
        return token

    def _lookup(self, request: Request) -> dict[str, Any]:
        token_id, token = self._given(request)
        return self._describe(token, token_id)

    def _lookup_self(self, request: Request) -> dict[str, Any]:
        return self._describe(request.caller, request.token_id)

    def _lookup_accessor(self, request: Request) -> dict[str, Any]:
        return self._describe(self.by_accessor(request), "")

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
            "ttl": self._left(token),
            "type": "service",
        }
        if token.period:
            data["period"] = int(token.period)
        return data

    def _renew(self, request: Request) -> Answer:
        token_id = request.fields.text("token")
        token = self.authenticate(token_id)
        if token is None:
            raise Invalid("token not found")
        return self._renewed(token, token_id, request.fields)

    def _renew_self(self, request: Request) -> Answer:
        return self._renewed(request.caller, request.token_id, request.fields)

    def _renew_accessor(self, request: Request) -> Answer:
        return self._renewed(self.by_accessor(request), "", request.fields)

    def _renewed(self, token: Token, token_id: str, fields: Fields) -> Answer:
        if not token.renewable or not token.expires:
            raise Invalid("lease is not renewable")
        now = self._vault.clock()
        wanted = token.period or fields.seconds("increment") or token.ttl
        last = token.created + min(token.explicit_max_ttl or MAX_TTL_S, MAX_TTL_S)
        if token.period:
            last = token.created + token.explicit_max_ttl if token.explicit_max_ttl else now + token.period
        token.expires = min(now + wanted, last)
        if token.expires <= now:
            raise Invalid("past the max TTL, cannot renew")
        self._save(token)
        return Answer(auth=self._auth(token, token_id))

    def _revoke(self, request: Request) -> None:
        token_id = request.fields.text("token")
        if not token_id:
            raise Invalid("missing token ID")
        token = self.authenticate(token_id)
        if token is not None:
            self.revoke(token)

    def _revoke_self(self, request: Request) -> None:
        self.revoke(request.caller)

    def _revoke_accessor(self, request: Request) -> None:
        self.revoke(self.by_accessor(request))

    def _revoke_orphan(self, request: Request) -> None:
        _, token = self._given(request)
        self.revoke(token, keep_children=True)

    def _accessors(self, request: Request) -> dict[str, Any]:
        return {"keys": [name.removeprefix(_ACCESSOR) for name in self._vault.names(_ACCESSOR)]}

    def _tidy(self, request: Request) -> Answer:
        self.tick()
        return Answer(status=202, warnings=["Tidy operation successfully done."])
