"""The stored leases of one mount."""

from dataclasses import asdict

import orjson

from pericard_kms.engines.devices.lease import LeaseRecord
from pericard_kms.errors import NotFound
from pericard_kms.storage.sealed_store import SealedStore


class LeaseBook:
    """Leases by id."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        self._store = store
        self._prefix = f"mount/{mount}/lease/"

    def names(self) -> list[str]:
        """The id of every lease, ended ones too."""
        return [name.removeprefix(self._prefix) for name in self._store.names(self._prefix)]

    def find(self, number: str) -> LeaseRecord:
        """The lease with the id `number`.

        Raises:
            NotFound: there is none.
        """
        data = self._store.get(self._prefix + number) if number.isascii() else None
        if data is None:
            raise NotFound(f"there is no lease {number}")
        return LeaseRecord(**orjson.loads(data))

    def save(self, lease: LeaseRecord) -> None:
        """Stores a new or changed lease."""
        self._store.put(self._prefix + lease.id, orjson.dumps(asdict(lease)))

    def withdraw(self, number: int) -> dict[str, float]:
        """Takes a device out of every lease that holds it: the id of each, and until when it was lent."""
        found = {}
        for lease in map(self.find, self.names()):
            if lease.state == "held" and str(number) in lease.devices:
                lease.withdraw(number)
                self.save(lease)
                found[lease.id] = lease.not_after
        return found

    def end_overdue(self) -> list[str]:
        """Ends the leases whose time is over; returns what was done, for the audit log."""
        now, done = self._store.clock(), []
        for lease in map(self.find, self.names()):
            if lease.state == "held" and lease.not_after <= now:
                lease.state = "ended"
                self.save(lease)
                done.append(f"lease {lease.id} of {lease.gateway} ended")
        return done
