"""The keys of one mount: cached opened, stored sealed, their uses counted exactly.

Which version protects the next message is decided here, and that one is rotated before it is worn out.
"""

import re
from collections.abc import Callable

import orjson

from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.states import KeyState
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.storage.sealed_store import SealedStore

_NAME = re.compile(r"\w(?:[\w.-]{0,254}\w)?", re.ASCII)


class KeyBox:
    """The keys of one mount."""

    def __init__(
        self, store: SealedStore, mount: str, on_rotate: Callable[[Key, str], None] = lambda *_: None
    ) -> None:
        """`mount` is the storage prefix; `on_rotate` hears of automatic rotations, with the reason."""
        self._store = store
        self._prefix = f"mount/{mount}/key/"
        self._uses = f"mount/{mount}/uses/"
        self._opened: dict[str, Key] = {}
        self._counted: dict[str, Key] = {}
        self._on_rotate = on_rotate
        store.after_rollback.append(self._clear_cache)
        store.before_flush.append(self._write_counts)

    def _clear_cache(self) -> None:
        self._opened.clear()
        self._counted.clear()

    def _write_counts(self) -> None:
        for name, key in self._counted.items():
            uses = {str(number): version.uses for number, version in key.versions.items()}
            self._store.put(self._uses + name, orjson.dumps(uses))
        self._counted.clear()

    def close(self) -> None:
        """Takes its hooks off the store: the mount is gone."""
        self._store.after_rollback.remove(self._clear_cache)
        self._store.before_flush.remove(self._write_counts)

    def find(self, name: str) -> Key | None:
        """The key `name`, or None."""
        key = self._opened.get(name)
        if key is None and _NAME.fullmatch(name) and (data := self._store.get(self._prefix + name)):
            key = Key.load(data)
            uses = orjson.loads(self._store.get(self._uses + name) or b"{}")
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

    def require(self, name: str) -> Key:
        """The key `name`, to read or export it.

        Raises:
            NotFound: there is none (404 without a text, as Vault answers for reading a missing key).
        """
        key = self.find(name)
        if key is None:
            raise NotFound("")
        return key

    def save(self, key: Key) -> None:
        """Stores a new or changed key.

        Raises:
            Invalid: the name is not usable.
        """
        if not _NAME.fullmatch(key.name):
            raise Invalid(f"invalid key name {key.name!r}: letters, digits, _, - and . only, at most 256")
        self._store.put(self._prefix + key.name, key.dump())
        self._opened[key.name] = key
        self._counted[key.name] = key

    def delete(self, name: str) -> None:
        """Removes a key and its counts."""
        self._store.delete(self._prefix + name)
        self._store.delete(self._uses + name)
        self._opened.pop(name, None)
        self._counted.pop(name, None)

    def names(self) -> list[str]:
        """Every key's name, in order."""
        return [name.removeprefix(self._prefix) for name in self._store.names(self._prefix)]

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
            worn.become(KeyState.DEACTIVATED, self._store.clock(), "the usage limit was reached")
            self.save(key)
        return version

    def count(self, key: Key, version: Version) -> None:
        """Counts one use of `version`; durable with the next flush, like the audit entry that tells of it."""
        version.uses += 1
        self._counted[key.name] = key

    def rotate_when_due(self, key: Key) -> None:
        """Rotates a key whose period ended."""
        newest = key.versions.get(key.latest)
        if newest is None or not key.auto_rotate_period or newest.state is not KeyState.ACTIVE:
            return
        if self._due(key, newest):
            self._rotate(key, "the rotation period ended")

    def _due(self, key: Key, version: Version) -> bool:
        return self._store.clock() >= version.created + key.auto_rotate_period

    def _rotate(self, key: Key, reason: str) -> Version:
        version = key.rotate(self._store.clock())
        self.save(key)
        self._on_rotate(key, reason)
        return version
