"""A named key and its versions: secrets, states, and what each version may be used for. No storage."""

import os
from dataclasses import dataclass, field
from typing import Any

import orjson

from pericard_kms.crypto.key_material import derive, generate, load_private, load_public
from pericard_kms.crypto.key_types import TYPES, KeyType
from pericard_kms.engines import states
from pericard_kms.engines.states import KeyState
from pericard_kms.errors import Invalid
from pericard_kms.fields import decode, encode


@dataclass(slots=True)
class Version:
    """One version's secrets, state and exact use count."""

    number: int
    created: float
    material: bytes = field(repr=False)
    hmac_key: bytes = field(repr=False)
    state: KeyState = KeyState.ACTIVE
    history: list[dict[str, Any]] = field(default_factory=list)
    public_only: bool = False
    uses: int = 0
    destroy_at: float | None = None
    _private: Any = field(default=None, repr=False)
    _public: Any = field(default=None, repr=False)

    def private(self, kind: KeyType) -> Any:
        """The private key object, made once."""
        if self.public_only:
            raise Invalid("only the public key of this version was imported: it cannot sign or decrypt")
        if self._private is None:
            self._private = load_private(kind, self.material)
        return self._private

    def public(self, kind: KeyType) -> Any:
        """The public key object."""
        if self._public is None:
            if self.public_only:
                self._public = load_public(kind, self.material)
            else:
                self._public = self.private(kind).public_key()
        return self._public

    def become(self, state: KeyState, now: float, reason: str) -> None:
        """Changes state and writes down when and why.

        Raises:
            Invalid: SP 800-57 has no such transition.
        """
        states.check_transition(self.state, state)
        self.history.append({"from": self.state, "to": state, "time": now, "reason": reason})
        self.state = state
        if state is KeyState.DESTROYED:
            self.material = self.hmac_key = b""
            self._private = self._public = None
            self.destroy_at = None


@dataclass(slots=True)
class Key:
    """A named key: its type, what it allows, and its versions."""

    name: str
    kind: KeyType
    derived: bool = False
    convergent: bool = False
    exportable: bool = False
    allow_plaintext_backup: bool = False
    deletion_allowed: bool = False
    min_decryption_version: int = 1
    min_encryption_version: int = 0
    min_available_version: int = 0
    auto_rotate_period: float = 0.0
    key_size: int = 0
    usage_limit: int = 0  # 0: the type's own
    imported: bool = False
    allow_rotation: bool = True
    erased: bool = False  # no version can be made again
    latest: int = 0
    versions: dict[int, Version] = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """How often one version may protect data."""
        return self.usage_limit or self.kind.limit

    def rotate(self, now: float, material: bytes | None = None, *, public_only: bool = False) -> Version:
        """Adds a version: fresh, or of imported `material`.

        Raises:
            Invalid: the key was destroyed, or an imported key does not allow it.
        """
        if self.erased:
            raise Invalid(f"the key {self.name} was destroyed: make one of another name")
        if material is None:
            if self.imported and not self.allow_rotation:
                raise Invalid(f"imported key {self.name} does not allow rotation within the KMS")
            material = generate(self.kind, self.key_size)
        self.latest += 1
        if public_only:
            mac_key = os.urandom(32)  # a key derived from the public key would be known to everybody
        else:
            mac_key = (
                material if self.kind.family == "mac" else derive(material, b"", b"hmac of a transit key")
            )
        version = Version(self.latest, now, material, mac_key, public_only=public_only)
        self.versions[self.latest] = version
        return version

    def version(self, number: int) -> Version:
        """Version `number`, for opening and verifying.

        Raises:
            Invalid: it does not exist, was trimmed, or is older than min_decryption_version.
        """
        if number > self.latest or number < 1:
            raise Invalid("invalid ciphertext: version is too new" if number > 0 else "invalid key version")
        if number < self.min_decryption_version or number not in self.versions:
            raise Invalid("ciphertext or signature version is disallowed by policy (too old)")
        return self.versions[number]

    def to_protect(self, number: int = 0, what: str = "encryption") -> Version:
        """The version to encrypt or sign with: `number`, or the latest when 0.

        Raises:
            Invalid: no such version, too old for min_encryption_version, or not active.
        """
        if number > self.latest:
            raise Invalid(f"requested version for {what} is higher than the latest key version")
        if number < 0 or 0 < number < self.min_encryption_version:
            raise Invalid(f"requested version for {what} is less than the minimum encryption key version")
        found = self.versions.get(number or self.latest)
        if found is None:
            raise Invalid(f"the version for {what} is not available any more")
        self.check(found, states.PROTECTS, what)
        return found

    def check(self, version: Version, allowed: frozenset[KeyState], what: str) -> None:
        """Refuses a use that the version's state does not allow.

        Raises:
            Invalid: naming the state.
        """
        if version.state not in allowed:
            raise Invalid(
                f"version {version.number} of {self.name} is {version.state}: not usable for {what}"
            )

    def dump(self) -> bytes:
        """The key as bytes, secrets included: only for the barrier and for a permitted plaintext backup."""
        record = {name: getattr(self, name) for name in _PLAIN}
        record["type"] = self.kind.name
        record["versions"] = [
            {
                "number": version.number,
                "created": version.created,
                "material": encode(version.material),
                "hmac_key": encode(version.hmac_key),
                "state": version.state,
                "history": version.history,
                "public_only": version.public_only,
                "destroy_at": version.destroy_at,
            }
            for version in self.versions.values()
        ]
        return orjson.dumps(record)

    @classmethod
    def load(cls, data: bytes) -> "Key":
        """The inverse of `dump`; use counts are kept apart.

        Raises:
            Invalid: not a dumped key (a backup comes from outside).
        """
        try:
            record = orjson.loads(data)
            if not isinstance(record["name"], str):
                raise TypeError
            key = cls(kind=TYPES[record["type"]], **{name: record[name] for name in _PLAIN})
            for entry in record["versions"]:
                version = Version(
                    int(entry["number"]),
                    float(entry["created"]),
                    decode(entry["material"], "material"),
                    decode(entry["hmac_key"], "hmac_key"),
                    KeyState(entry["state"]),
                    list(entry["history"]),
                    bool(entry["public_only"]),
                )
                version.destroy_at = entry["destroy_at"]
                key.versions[version.number] = version
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Invalid("the backup is not one of a key of this KMS") from None
        return key


_PLAIN = (
    "name",
    "derived",
    "convergent",
    "exportable",
    "allow_plaintext_backup",
    "deletion_allowed",
    "min_decryption_version",
    "min_encryption_version",
    "min_available_version",
    "auto_rotate_period",
    "key_size",
    "usage_limit",
    "imported",
    "allow_rotation",
    "erased",
    "latest",
)
