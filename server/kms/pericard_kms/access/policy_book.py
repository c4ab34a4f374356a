"""The written policies, kept behind the barrier, and the rules that a set of them adds up to."""

from pericard_kms.access import policy_language
from pericard_kms.access.acl import ROOT, Acl
from pericard_kms.errors import Invalid
from pericard_kms.storage.sealed_store import SealedStore

_POLICY = "core/policy/"
DEFAULT_POLICY = """
# What every token may do: look after itself.
path "auth/token/lookup-self" { capabilities = ["read", "update"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self"  { capabilities = ["update"] }
"""


class PolicyBook:
    """The written policies, and the rules that a set of them adds up to."""

    def __init__(self, store: SealedStore) -> None:
        self._store = store
        self._acls: dict[tuple[str, ...], Acl] = {}
        store.after_rollback.append(self._acls.clear)
        if store.get(_POLICY + "default") is None:
            store.put(_POLICY + "default", DEFAULT_POLICY.encode())
            store.keep_request()

    def text(self, name: str) -> str | None:
        """A policy as it was written."""
        data = self._store.get(_POLICY + name) if name.isascii() else None
        return None if data is None else data.decode()

    def exists(self, name: str) -> bool:
        """Whether a policy of this name is written."""
        return self.text(name) is not None

    def names(self) -> list[str]:
        """Every policy, root last as Vault lists it."""
        return [*(name.removeprefix(_POLICY) for name in self._store.names(_POLICY)), ROOT]

    def write(self, name: str, text: str) -> None:
        """Checks and stores a policy.

        Raises:
            Invalid: root cannot be written, or the text is not a policy.
        """
        if name == ROOT:
            raise Invalid(f'cannot update "{ROOT}" policy')
        if not name.isascii() or not name.isprintable() or len(name) > 256:
            raise Invalid("a policy's name is up to 256 printable ASCII characters")
        policy_language.parse_policy(text)
        self._store.put(_POLICY + name, text.encode())
        self._acls.clear()

    def delete(self, name: str) -> None:
        """Removes a policy; tokens that name it lose what it gave."""
        if name in (ROOT, "default"):
            raise Invalid(f'cannot delete "{name}" policy')
        if name.isascii():
            self._store.delete(_POLICY + name)
            self._acls.clear()

    def acl(self, names: tuple[str, ...]) -> Acl:
        """The rules of these policies together; one that is not written gives nothing."""
        acl = self._acls.get(names)
        if acl is None:
            texts = [text for name in names if (text := self.text(name)) is not None]
            acl = Acl([policy_language.parse_policy(text) for text in texts], root=ROOT in names)
            self._acls[names] = acl
        return acl
