"""A named key of versions, and the box that keeps a mount's keys: cached opened, stored sealed.

What a version may be used for (`check_*`) and how often (`count`) is decided here, in one place.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from pericard_kms.crypto.key_material import derive, generate, load_private, load_public
from pericard_kms.crypto.key_types import TYPES, KeyType
from pericard_kms.engines import states
from pericard_kms.engines.states import State
from pericard_kms.errors import Invalid
from pericard_kms.fields import decode, encode
from pericard_kms.storage.vault import Vault

_NAME = re.compile(r"\w(?:[\w.-]{0,254}\w)?", re.ASCII)


@dataclass(slots=True)
class Version:
    """One version's secrets, state and exact use count."""

    number: int
    created: float
    material: bytes = field(repr=False)
    hmac_key: bytes = field(repr=False)
    state: State = State.ACTIVE
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

    def become(self, state: State, now: float, reason: str) -> None:
        """Changes state and writes down when and why.

        Raises:
            Invalid: SP 800-57 has no such transition.
        """
        states.check_transition(self.state, state)
        self.history.append({"from": self.state, "to": state, "time": now, "reason": reason})
        self.state = state
        if state is State.DESTROYED:
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
            mac_key = os.urandom(32)  # derived from a public key it would be everybody's
        else:
            mac_key = material if self.kind.kind == "mac" else derive(material, b"", b"hmac of a transit key")
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

    def check(self, version: Version, allowed: frozenset[State], what: str) -> None:
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
                    State(entry["state"]),
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


class KeyBox:
    """The keys of one mount."""

    def __init__(
        self, vault: Vault, mount: str, on_rotate: Callable[[Key, str], None] = lambda *_: None
    ) -> None:
        """`mount` is the storage prefix; `on_rotate` hears of automatic rotations, with the reason."""
        self._vault = vault
        self._prefix = f"mount/{mount}/key/"
        self._uses = f"mount/{mount}/uses/"
        self._opened: dict[str, Key] = {}
        self._counted: dict[str, Key] = {}
        self._on_rotate = on_rotate
        vault.forget.append(self._forget)
        vault.before_flush.append(self._write_counts)

    def _forget(self) -> None:
        self._opened.clear()
        self._counted.clear()

    def _write_counts(self) -> None:
        for name, key in self._counted.items():
            uses = {str(number): version.uses for number, version in key.versions.items()}
            self._vault.put(self._uses + name, orjson.dumps(uses))
        self._counted.clear()

    def close(self) -> None:
        """Detaches from the vault: the mount is gone."""
        self._vault.forget.remove(self._forget)
        self._vault.before_flush.remove(self._write_counts)

    def find(self, name: str) -> Key | None:
        """The key `name`, or None."""
        key = self._opened.get(name)
        if key is None and _NAME.fullmatch(name) and (data := self._vault.get(self._prefix + name)):
            key = Key.load(data)
            uses = orjson.loads(self._vault.get(self._uses + name) or b"{}")
            for number, version in key.versions.items():
                version.uses = uses.get(str(number), 0)
            self._opened[name] = key
        return key

    def get(self, name: str, what: str = "encryption key not found") -> Key:
        """The key `name`.

        Raises:
            Invalid: there is none (400, as Vault answers for operations on a missing key).
        """
        key = self.find(name)
        if key is None:
            raise Invalid(what)
        return key

    def save(self, key: Key) -> None:
        """Stores a new or changed key.

        Raises:
            Invalid: the name is not usable.
        """
        if not _NAME.fullmatch(key.name):
            raise Invalid(f"invalid key name {key.name!r}: letters, digits, _, - and . only, at most 256")
        self._vault.put(self._prefix + key.name, key.dump())
        self._opened[key.name] = key
        self._counted[key.name] = key

    def delete(self, name: str) -> None:
        """Removes a key and its counts."""
        self._vault.delete(self._prefix + name)
        self._vault.delete(self._uses + name)
        self._opened.pop(name, None)
        self._counted.pop(name, None)

    def names(self) -> list[str]:
        """Every key's name, in order."""
        return [name.removeprefix(self._prefix) for name in self._vault.names(self._prefix)]

    def protecting(self, key: Key, number: int = 0, what: str = "encryption") -> Version:
        """The version to protect one message with; when that is done, the caller says so by `count`.

        A version that is worn out or past its period is rotated out first, when the caller left the choice.

        Raises:
            Invalid: as `Key.to_protect`, or the version asked for is worn out.
        """
        version = key.to_protect(number, what)
        if not number and key.auto_rotate_period and self._due(key, version):
            version = self._rotate(key, "the rotation period ended")
        if version.uses >= key.limit:
            if number:
                raise Invalid(
                    f"version {version.number} of {key.name} has protected {version.uses} messages, its "
                    "limit: use the latest version"
                )
            worn, version = version, self._rotate(key, "the usage limit was reached")
            worn.become(State.DEACTIVATED, self._vault.clock(), "the usage limit was reached")
            self.save(key)
        return version

    def count(self, key: Key, version: Version) -> None:
        """Counts one use of `version`; durable with the next flush, like the audit entry that tells of it."""
        version.uses += 1
        self._counted[key.name] = key

    def rotate_when_due(self, key: Key) -> None:
        """Rotates a key whose period ended."""
        newest = key.versions.get(key.latest)
        if newest is None or not key.auto_rotate_period or newest.state is not State.ACTIVE:
            return
        if self._due(key, newest):
            self._rotate(key, "the rotation period ended")

    def _due(self, key: Key, version: Version) -> bool:
        return self._vault.clock() >= version.created + key.auto_rotate_period

    def _rotate(self, key: Key, reason: str) -> Version:
        version = key.rotate(self._vault.clock())
        self.save(key)
        self._on_rotate(key, reason)
        return version
