"""A token's record: what it may do, until when, and which token made it."""

from dataclasses import dataclass

from pericard_kms.access.acl import ROOT


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
