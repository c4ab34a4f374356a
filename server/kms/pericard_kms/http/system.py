"""The paths under sys/ that need an unsealed KMS: mounts, policies, capabilities, keyring, the audit log."""

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pericard_kms.access import policies
from pericard_kms.access.policies import ROOT, Acl
from pericard_kms.access.tokens import Token
from pericard_kms.ceremonies.rekey import Rekey
from pericard_kms.engines.transit import hashed, random_bytes
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields, decode, rfc3339
from pericard_kms.routing import Answer, Request, Routes
from pericard_kms.storage.vault import Vault

if TYPE_CHECKING:
    from pericard_kms.engines.mounts import Engines

_POLICY = "core/policy/"
DEFAULT_POLICY = """
# What every token may do: look after itself.
path "auth/token/lookup-self" { capabilities = ["read", "update"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self"  { capabilities = ["update"] }
"""
_ENTRIES_AT_ONCE = 5000


class PolicyBook:
    """The written policies, and the rules that a set of them adds up to."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._acls: dict[tuple[str, ...], Acl] = {}
        vault.forget.append(self._acls.clear)
        if vault.get(_POLICY + "default") is None:
            vault.put(_POLICY + "default", DEFAULT_POLICY.encode())
            vault.keep()

    def text(self, name: str) -> str | None:
        """A policy as it was written."""
        data = self._vault.get(_POLICY + name) if name.isascii() else None
        return None if data is None else data.decode()

    def exists(self, name: str) -> bool:
        """Whether a policy of this name is written."""
        return self.text(name) is not None

    def names(self) -> list[str]:
        """Every policy, root last as Vault lists it."""
        return [*(name.removeprefix(_POLICY) for name in self._vault.names(_POLICY)), ROOT]

    def write(self, name: str, text: str) -> None:
        """Checks and stores a policy.

        Raises:
            Invalid: root cannot be written, or the text is not a policy.
        """
        if name == ROOT:
            raise Invalid(f'cannot update "{ROOT}" policy')
        if not name.isascii() or not name.isprintable() or len(name) > 256:
            raise Invalid("a policy's name is up to 256 printable ASCII characters")
        policies.parse(text)
        self._vault.put(_POLICY + name, text.encode())
        self._acls.clear()

    def delete(self, name: str) -> None:
        """Removes a policy; tokens that name it lose what it gave."""
        if name in (ROOT, "default"):
            raise Invalid(f'cannot delete "{name}" policy')
        if name.isascii():
            self._vault.delete(_POLICY + name)
            self._acls.clear()

    def acl(self, names: tuple[str, ...]) -> Acl:
        """The rules of these policies together; one that is not written gives nothing."""
        acl = self._acls.get(names)
        if acl is None:
            texts = [text for name in names if (text := self.text(name)) is not None]
            acl = Acl([policies.parse(text) for text in texts], root=ROOT in names)
            self._acls[names] = acl
        return acl


class System:
    """The routes under sys/."""

    def __init__(
        self, vault: Vault, book: PolicyBook, engines: "Engines", seal: Callable[[Request], None]
    ) -> None:
        self._vault, self._book, self._engines, self._seal = vault, book, engines, seal
        self.routes = Routes()
        add = self.routes.add
        Rekey(vault, self.routes)
        add("seal", update=self._do_seal, sudo=True)
        add("rotate", update=self._rotate, sudo=True)
        add("rotate/keyring", update=self._rotate, sudo=True)
        add("key-status", read=self._key_status)
        add("mounts", read=self._mounts)
        add("auth", read=self._auth)
        add("audit", read=self._audit_devices, sudo=True)
        add("audit-hash/{path}", update=self._audit_hash)
        for depth in (1, 2, 3):
            path = "/".join(f"{{s{number}}}" for number in range(depth))
            add(f"mounts/{path}/tune", read=self._tuning)
            add(f"mounts/{path}", read=self._mount, update=self._enable, delete=self._disable)
        add("policies/acl", list=self._policies)
        add("policies/acl/{name}", read=self._policy, update=self._write_policy, delete=self._delete_policy)
        add("policy", read=self._policies_old, list=self._policies)
        add("policy/{name}", read=self._policy_old, update=self._write_policy, delete=self._delete_policy)
        add("capabilities", update=self._capabilities)
        add("capabilities-self", update=self._capabilities_self)
        add("capabilities-accessor", update=self._capabilities_accessor)
        add("tools/random", update=random_bytes)
        add("tools/random/{source}", update=random_bytes)
        add("tools/random/{source}/{size}", update=random_bytes)
        add("tools/hash", update=hashed)
        add("tools/hash/{algorithm}", update=hashed)
        add("audit-log/key", read=self._log_key)
        add("audit-log/checkpoint", read=self._log_checkpoint)
        add("audit-log/checkpoints", read=self._log_checkpoints)
        add("audit-log/entries", read=self._log_entries)
        add("audit-log/inclusion", read=self._log_inclusion)
        add("audit-log/consistency", read=self._log_consistency)

    # -- seal and keyring -------------------------------------------------------------------------------

    def _do_seal(self, request: Request) -> None:
        self._seal(request)

    def _rotate(self, request: Request) -> None:
        self._vault.rotate_keyring()

    def _key_status(self, request: Request) -> Answer:
        ring = self._vault.keyring
        term = ring.terms[ring.active]
        return Answer(
            {"term": ring.active, "install_time": rfc3339(term.created), "encryptions": term.seals},
            spread=True,
        )

    # -- mounts -----------------------------------------------------------------------------------------

    def _path(self, parts: dict[str, str]) -> str:
        return "/".join(parts[f"s{number}"] for number in range(len(parts)))

    def _mounts(self, request: Request) -> Answer:
        return Answer({path: mount.describe() for path, mount in self._engines.mounts.items()}, spread=True)

    def _auth(self, request: Request) -> Answer:
        return Answer({"token/": {"type": "token", "description": "token based credentials"}}, spread=True)

    def _mount(self, request: Request, **parts: str) -> Answer:
        mount = self._engines.mounts.get(self._path(parts) + "/")
        if mount is None:
            raise Invalid("No secret engine mount at " + self._path(parts) + "/")
        return Answer(mount.describe(), spread=True)

    def _tuning(self, request: Request, **parts: str) -> Answer:
        if self._path(parts) + "/" not in self._engines.mounts:
            raise Invalid("cannot fetch sysview for path " + self._path(parts) + "/")
        return Answer(
            {"default_lease_ttl": 2764800, "max_lease_ttl": 2764800, "force_no_cache": False}, spread=True
        )

    def _enable(self, request: Request, **parts: str) -> None:
        self._engines.enable(
            self._path(parts) + "/", request.fields.text("type"), request.fields.text("description")
        )

    def _disable(self, request: Request, **parts: str) -> None:
        self._engines.disable(self._path(parts) + "/")

    # -- policies ---------------------------------------------------------------------------------------

    def _policies(self, request: Request) -> dict[str, Any]:
        return {"keys": self._book.names()}

    def _policies_old(self, request: Request) -> Answer:
        return Answer({"keys": self._book.names(), "policies": self._book.names()}, spread=True)

    def _policy(self, request: Request, name: str) -> dict[str, Any]:
        return {"name": name.lower(), "policy": self._text(name.lower())}

    def _policy_old(self, request: Request, name: str) -> Answer:
        return Answer({"name": name.lower(), "rules": self._text(name.lower())}, spread=True)

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

    # -- capabilities -----------------------------------------------------------------------------------

    def _capabilities(self, request: Request) -> Answer:
        token = self._engines.tokens.authenticate(request.fields.text("token"))
        if token is None:
            raise Invalid("invalid token")
        return self._granted(token, request.fields)

    def _capabilities_self(self, request: Request) -> Answer:
        return self._granted(request.caller, request.fields)

    def _capabilities_accessor(self, request: Request) -> Answer:
        return self._granted(self._engines.tokens.by_accessor(request), request.fields)

    def _granted(self, token: Token, fields: Fields) -> Answer:
        paths = fields.names("paths") or fields.names("path")
        if not paths:
            raise Invalid("paths must be supplied")
        acl = self._book.acl(tuple(token.policies))
        granted: dict[str, Any] = {path: sorted(acl.capabilities(path)) or ["deny"] for path in paths}
        if len(paths) == 1:
            granted["capabilities"] = granted[paths[0]]
        return Answer(granted, spread=True)

    # -- the audit log ----------------------------------------------------------------------------------

    def _audit_devices(self, request: Request) -> Answer:
        device = {"type": "merkle", "description": "the built-in RFC 9162 log", "local": True, "options": {}}
        return Answer({"merkle/": {**device, "path": "merkle/"}}, spread=True)

    def _audit_hash(self, request: Request, path: str) -> Answer:
        if path != "merkle":
            raise Invalid(f"unknown audit backend: {path}/; the one there is is called merkle")
        if "input" not in request.fields:
            raise Invalid('the "input" parameter is empty')
        return Answer({"hash": self._vault.recorder.hashed(request.fields.text("input"))}, spread=True)

    def _log_key(self, request: Request) -> dict[str, Any]:
        return {"origin": self._vault.origin, "public_key": base64.b64encode(self._vault.public_key).decode()}

    def _log_checkpoint(self, request: Request) -> dict[str, Any]:
        return {"checkpoint": self._vault.checkpoint()}

    def _log_checkpoints(self, request: Request) -> dict[str, Any]:
        return {"checkpoints": self._vault.checkpoints()}

    def _sizes(self, request: Request, *names: str) -> list[int]:
        """Whole-number fields that are sizes or positions within the durable log."""
        self._vault.flush()
        limit = self._vault.edge.frontier.size
        values = [
            request.fields.whole(name, limit if name in ("size", "to", "stop") else 0) for name in names
        ]
        if any(not 0 <= value <= limit for value in values):
            raise Invalid(f"the log has {limit} entries: {', '.join(names)} must be within")
        return values

    def _log_entries(self, request: Request) -> dict[str, Any]:
        start, stop = self._sizes(request, "start", "stop")
        stop = min(stop, start + _ENTRIES_AT_ONCE)
        entries = [leaf.decode() for leaf in self._vault.leaves(start, stop)] if start < stop else []
        return {"start": start, "entries": entries}

    def _log_inclusion(self, request: Request) -> dict[str, Any]:
        position, size = self._sizes(request, "position", "size")
        return {"proof": _texts(self._vault.tree.inclusion(position, size)), "size": size}

    def _log_consistency(self, request: Request) -> dict[str, Any]:
        old, new = self._sizes(request, "from", "to")
        return {"proof": _texts(self._vault.tree.consistency(old, new)), "to": new}


def _texts(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(value).decode() for value in hashes]
