"""The states of key versions after SP 800-57, and their end.

Beside Vault's operations: destruction waits a delay, can be cancelled in it, and is final after it.
"""

from typing import Any

from pericard_kms.engines import states
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.states import KeyState
from pericard_kms.engines.transit.description import describe
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields
from pericard_kms.routing import Request
from pericard_kms.storage.sealed_store import SealedStore

# Long enough for a weekend to notice a mistake; an operator may choose between an hour and a year.
DESTRUCTION_DELAY_S = 7 * 86400.0
_DELAYS_S = (3600.0, 366 * 86400.0)


class Lifecycle:
    """The paths that change states, and the work that comes due by time."""

    def __init__(self, keys: KeyBox, store: SealedStore) -> None:
        self._keys, self._store = keys, store

    def _versions(self, key: Key, fields: Fields) -> list[Version]:
        """The version that the request names, or all of them."""
        number = fields.whole("version")
        if not number:
            return list(key.versions.values())
        if number not in key.versions:
            raise Invalid(f"the key {key.name} has no version {number}")
        return [key.versions[number]]

    def set_state(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/state: {state, reason, version?}; without a version, all that can."""
        fields = request.fields
        key = self._keys.get(name, "key not found")
        state = states.read_state(fields.text("state"))
        if state is KeyState.DESTROYED:
            raise Invalid(f"destruction waits a delay: use keys/{name}/destroy")
        reason = _reason(fields)
        chosen = self._versions(key, fields)
        able = [version for version in chosen if state in states.TRANSITIONS[version.state]]
        if not able:
            states.check_transition(chosen[-1].state, state)
        for version in able:
            version.become(state, self._store.clock(), reason)
        self._keys.save(key)
        return describe(key)

    def schedule_destruction(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/destroy: {delay, reason, version?}. Until then the versions only decrypt."""
        fields = request.fields
        key = self._keys.get(name, "key not found")
        delay = fields.seconds("delay", DESTRUCTION_DELAY_S)
        if not _DELAYS_S[0] <= delay <= _DELAYS_S[1]:
            raise Invalid("the delay before destruction is between 1 hour and 366 days")
        reason = _reason(fields)
        now = self._store.clock()
        for version in self._versions(key, fields):
            if version.state in (KeyState.DESTROYED, KeyState.PRE_ACTIVE):
                continue
            if version.state is KeyState.ACTIVE:
                version.become(KeyState.SUSPENDED, now, f"destruction scheduled: {reason}")
            version.destroy_at = now + delay
        self._keys.save(key)
        return describe(key)

    def cancel_destruction(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/cancel-destruction: the versions stay suspended until `state` says otherwise."""
        key = self._keys.get(name, "key not found")
        waiting = [
            version for version in self._versions(key, request.fields) if version.destroy_at is not None
        ]
        if not waiting:
            raise Invalid(f"no destruction of {name} is scheduled")
        for version in waiting:
            version.destroy_at = None
        self._keys.save(key)
        return describe(key)

    def tick(self) -> list[str]:
        """Does what is due: destructions and rotations. Returns what was done, for the audit log."""
        done = []
        now = self._store.clock()
        for name in self._keys.names():
            key = self._keys.get(name)
            due = [v for v in key.versions.values() if v.destroy_at is not None and v.destroy_at <= now]
            for version in due:
                version.become(KeyState.DESTROYED, now, "the scheduled destruction")
                done.append(f"destroyed {name} version {version.number}")
            if due:
                key.erased = all(version.state is KeyState.DESTROYED for version in key.versions.values())
                self._keys.save(key)
            self._keys.rotate_when_due(key)
        return done


def _reason(fields: Fields) -> str:
    reason = fields.text("reason")
    if not 3 <= len(reason) <= 500:
        raise Invalid("reason: say why, in 3 to 500 characters; it is kept with the key")
    return reason
