"""The stored tokens: who may ask. Kept only as an HMAC of the token, in a tree of who made whom.

Revoking a token revokes those that it made. The HMAC key lies behind the barrier, so a stolen store holds
nothing to guess tokens against, and looking a token up compares no secret byte by byte.
"""

import base64
import hmac
import os
from dataclasses import asdict
from typing import Any

import orjson

from pericard_kms.access.token import Token
from pericard_kms.storage.sealed_store import SealedStore

_SALT = "core/token-key"
_ENTRY = "token/entry/"
_CHILD = "token/child/"
_ACCESSOR = "token/accessor/"


class TokenStore:
    """The live tokens: issue, recognise, count uses, revoke, expire."""

    def __init__(self, store: SealedStore) -> None:
        self._store = store
        self._opened: dict[str, Token] = {}
        store.after_rollback.append(self._opened.clear)
        salt = store.get(_SALT)
        if salt is None:
            salt = os.urandom(32)
            store.put(_SALT, salt)
            store.keep_request()
        self._salt = salt

    def _key(self, token: str) -> str:
        return hmac.digest(self._salt, token.encode("utf-8", "surrogatepass"), "sha256").hex()

    def _load(self, key: str) -> Token | None:
        token = self._opened.get(key)
        if token is None and (data := self._store.get(_ENTRY + key)):
            token = Token(**orjson.loads(data))
            self._opened[key] = token
        if token is not None and token.expires and token.expires <= self._store.clock():
            return None
        return token

    def save(self, token: Token) -> None:
        """Stores a new or changed record."""
        self._store.put(_ENTRY + token.key, orjson.dumps(asdict(token)))
        self._opened[token.key] = token

    def issue(self, policies: list[str], parent: Token | None = None, **settings: Any) -> tuple[str, Token]:
        """Makes a token: (the token, its record). The token itself is not kept, and cannot be shown again."""
        now = self._store.clock()
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
        self.save(token)
        self._store.put(_ACCESSOR + token.accessor, token.key.encode())
        if parent:
            self._store.put(f"{_CHILD}{parent.key}/{token.key}", b"1")
        return token_id, token

    def authenticate(self, token_id: str) -> Token | None:
        """The record of a live token, or None."""
        if not 0 < len(token_id) <= 256:
            return None
        return self._load(self._key(token_id))

    def of_accessor(self, accessor: str) -> Token | None:
        """The record of the live token with this accessor, or None."""
        key = self._store.get(_ACCESSOR + accessor) if accessor.isascii() else None
        return self._load(key.decode()) if key else None

    def accessors(self) -> list[str]:
        """The accessors of all stored tokens."""
        return [name.removeprefix(_ACCESSOR) for name in self._store.names(_ACCESSOR)]

    def use(self, token: Token) -> None:
        """Counts one use of a token that was issued for a number of them; the last one ends it."""
        if token.num_uses:
            if token.num_uses == 1:
                self.revoke(token)
            else:
                token.num_uses -= 1
                self.save(token)

    def revoke(self, token: Token, *, keep_children: bool = False) -> None:
        """Ends a token, and all that it made unless they are kept as orphans."""
        waiting = [token]
        while waiting:
            one = waiting.pop()
            prefix = f"{_CHILD}{one.key}/"
            for name in self._store.names(prefix):
                self._store.delete(name)
                data = self._store.get(_ENTRY + name.removeprefix(prefix))
                if data is None:
                    continue
                child = Token(**orjson.loads(data))
                if keep_children:
                    child.parent = ""
                    self.save(child)
                else:
                    waiting.append(child)
            if one.parent:
                self._store.delete(f"{_CHILD}{one.parent}/{one.key}")
            self._store.delete(_ENTRY + one.key)
            self._store.delete(_ACCESSOR + one.accessor)
            self._opened.pop(one.key, None)

    def revoke_expired(self) -> list[str]:
        """Revokes what expired, with its children; returns what was done, for the audit log."""
        done = []
        now = self._store.clock()
        for name in self._store.names(_ENTRY):
            data = self._store.get(name)
            if data is not None:
                token = Token(**orjson.loads(data))
                if token.expires and token.expires <= now:
                    self.revoke(token)
                    done.append(f"expired the token of accessor {token.accessor}")
        return done
