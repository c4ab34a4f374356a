"""The devices engine: enrol, provision, suspend, lose and retire devices; tell of every loss."""

from typing import Any

from pericard_kms.engines.devices.device import NEXT_STATES, SERVED, DeviceRecord, fresh_key
from pericard_kms.engines.devices.device_book import DeviceBook
from pericard_kms.engines.devices.lease_book import LeaseBook
from pericard_kms.engines.devices.lease_paths import LeasePaths
from pericard_kms.errors import Invalid
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.device.ratchet import MAX_EPOCH


class DeviceEngine:
    """The routes of a `devices` mount."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        self._store = store
        self._devices, self._leases = DeviceBook(store, mount), LeaseBook(store, mount)
        self.routes = Routes()
        add = self.routes.add
        add("devices", list=self._index)
        add("devices/{number}", read=self._read, update=self._enrol)
        add("devices/{number}/provision", update=self._provision)
        add("devices/{number}/state", update=self._set_state)
        add("quarantine", read=self._quarantine)
        LeasePaths(self.routes, store, self._devices, self._leases)

    def tick(self) -> list[str]:
        """Ends the leases whose time is over."""
        return self._leases.end_overdue()

    def close(self) -> None:
        """Nothing of it lives outside the store."""

    def _index(self, request: Request) -> dict[str, Any]:
        return {"keys": self._devices.names()}

    def _read(self, request: Request, number: str) -> dict[str, Any]:
        return self._devices.find(number).describe()

    def _enrol(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}: {owner}. The key comes with `provision`, which writes it to the board."""
        if number in self._devices:
            raise Invalid(f"device {number} is enrolled already: provision it anew, or retire it")
        device = DeviceRecord(int(number), request.fields.text("owner"), "enrolled", 0, 0, fresh_key())
        self._devices.save_event(device, "enrolled", "enrolled")
        return device.describe()

    def _provision(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}/provision: the key to write to the board, with epoch and the boot to start above.

        The first time for an enrolled device; afterwards (a repaired or found board) under a fresh key.
        """
        device = self._devices.find(number)
        if device.state == "retired":
            raise Invalid(f"device {number} is retired: enrol another id")
        if any(event["to"] == "provisioned" for event in device.history):
            if device.epoch >= MAX_EPOCH:
                raise Invalid(f"device {number} has used every epoch: enrol another id")
            device.provision()
        device.state = "enrolled"
        old = device.still_lent | self._leases.withdraw(device.id)
        device.still_lent = {}
        reason = request.fields.text("reason", "provisioning")
        self._devices.save_event(device, "provisioned", reason, still_lent=old)
        return {**device.describe(), "key": device.key}

    def _set_state(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}/state: {state, reason, since}; `since` (Unix time) only for lost."""
        fields = request.fields
        device, state = self._devices.find(number), fields.text("state")
        if state not in NEXT_STATES[device.state]:
            allowed = ", ".join(sorted(NEXT_STATES[device.state])) or "nothing: it is final"
            raise Invalid(f"a device that is {device.state} cannot become {state!r}; it can become {allowed}")
        if len(fields.text("reason")) < 3:
            raise Invalid("reason: say why; it is kept with the device")
        now, more = self._store.clock(), {}
        if state == "lost":
            since = float(fields.whole("since", int(now)))
            if not 0 <= since <= now:
                raise Invalid("since: the Unix time from which frames are in doubt, not in the future")
            more["since"] = since
        if state == "retired":
            device.key = ""
        device.state = state
        if state not in SERVED:
            device.still_lent |= self._leases.withdraw(device.id)
        self._devices.save_event(device, state, fields.text("reason"), **more)
        return device.describe()

    def _quarantine(self, request: Request) -> dict[str, Any]:
        """GET quarantine: every loss of every device: from when to when its frames are in doubt."""
        devices = map(self._devices.find, self._devices.names())
        return {
            "losses": [
                {"device": device.id, **loss._asdict()} for device in devices for loss in device.losses()
            ]
        }
