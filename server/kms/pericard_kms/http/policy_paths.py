"""The paths under sys/ that write and show policies, and tell what a token may do."""

from typing import Any

from pericard_kms.access.acl import ROOT
from pericard_kms.access.policy_book import PolicyBook
from pericard_kms.access.token import Token
from pericard_kms.access.tokens import TokenStore
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields, decode
from pericard_kms.http.token_paths import token_of_accessor
from pericard_kms.routing import Request, Response, Routes


class PolicyPaths:
    """Policies and capabilities."""

    def __init__(self, routes: Routes, book: PolicyBook, tokens: TokenStore) -> None:
        self._book, self._tokens = book, tokens
        add = routes.add
        add("policies/acl", list=self._policies)
        add("policies/acl/{name}", read=self._policy, update=self._write_policy, delete=self._delete_policy)
        add("policy", read=self._policies_old, list=self._policies)
        add("policy/{name}", read=self._policy_old, update=self._write_policy, delete=self._delete_policy)
        add("capabilities", update=self._capabilities)
        add("capabilities-self", update=self._capabilities_self)
        add("capabilities-accessor", update=self._capabilities_accessor)

    def _policies(self, request: Request) -> dict[str, Any]:
        return {"keys": self._book.names()}

    def _policies_old(self, request: Request) -> Response:
        return Response({"keys": self._book.names(), "policies": self._book.names()}, spread=True)

    def _policy(self, request: Request, name: str) -> dict[str, Any]:
        return {"name": name.lower(), "policy": self._text(name.lower())}

    def _policy_old(self, request: Request, name: str) -> Response:
        return Response({"name": name.lower(), "rules": self._text(name.lower())}, spread=True)

    def _text(self, name: str) -> str:
        if name == ROOT:
            return ""
        text = self._book.text(name)
        if text is None:
            raise NotFound("")
        return text

    def _write_policy(self, request: Request, name: str) -> None:
        text = request.fields.text("policy", request.fields.text("rules"))
        if not text:
            raise Invalid("'policy' parameter not supplied or empty")
        if not text.lstrip().startswith(("{", "path", "#", "/", "name", '"')):
            # Old clients base64 the text.
            text = decode(text, "policy").decode("utf-8", "replace")
        self._book.write(name.lower(), text)

    def _delete_policy(self, request: Request, name: str) -> None:
        self._book.delete(name.lower())

    def _capabilities(self, request: Request) -> Response:
        token = self._tokens.authenticate(request.fields.text("token"))
        if token is None:
            raise Invalid("invalid token")
        return self._granted(token, request.fields)

    def _capabilities_self(self, request: Request) -> Response:
        return self._granted(request.caller, request.fields)

    def _capabilities_accessor(self, request: Request) -> Response:
        return self._granted(token_of_accessor(self._tokens, request), request.fields)

    def _granted(self, token: Token, fields: Fields) -> Response:
        paths = fields.names("paths") or fields.names("path")
        if not paths:
            raise Invalid("paths must be supplied")
        acl = self._book.acl(tuple(token.policies))
        granted: dict[str, Any] = {path: sorted(acl.capabilities(path)) or ["deny"] for path in paths}
        if len(paths) == 1:
            granted["capabilities"] = granted[paths[0]]
        return Response(granted, spread=True)
