"""Device keys and their life, and the signed leases under which gateways hold them.

    enrolled -> active -> suspended -> active …; any of them -> lost -> enrolled again; any -> retired (final)

Every device has its own random key; none is derived from another. Provisioning anew gives a fresh key under
the next epoch and carries the boot counter's floor over, so neither epoch nor boot ever goes back: a recorded
frame of the device's earlier life stays stale. A lost device's frames are refused at once, and what came
since the time the operator names is in quarantine. As the node's ratchet moves on, so does the key kept here:
yesterday's frames cannot be opened with what is in the store today.
"""

import os
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from pericard_kms.engines.leases import LONGEST_LEASE_S, MAX_FRAMES, Lease
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields, decode, encode, rfc3339
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.vault import Vault
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.ratchet import MAX_AHEAD, MAX_EPOCH, advance

# The device link's fields: device_id and boot are u32, epoch is u16.
MAX_DEVICE, MAX_BOOT = 2**32 - 1, 2**32 - 1
# A lease lasts a week and a node takes an epoch a day or per 2^20 frames: a thousand is beyond any truth.
_LONGEST_STEP = 1000
_STATES: dict[str, frozenset[str]] = {
    "enrolled": frozenset({"active", "lost", "retired"}),
    "active": frozenset({"suspended", "lost", "retired"}),
    "suspended": frozenset({"active", "lost", "retired"}),
    "lost": frozenset({"retired"}),
    "retired": frozenset(),
}
_SERVED = frozenset({"enrolled", "active"})


@dataclass(slots=True)
class Device:
    """A device: where it is in its life, its key, and how far its counters have come."""

    id: int
    owner: str
    state: str
    epoch: int
    boot: int  # the next provisioning starts above this
    key: str = field(repr=False)  # base64; "" once retired
    quarantined_since: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Everything but the key."""
        shown = asdict(self)
        del shown["key"]
        return shown


class DeviceEngine:
    """The paths of a `devices` mount."""

    def __init__(self, vault: Vault, mount: str) -> None:
        self._vault = vault
        self._devices = f"mount/{mount}/device/"
        self._leases = f"mount/{mount}/lease/"
        self.routes = Routes()
        add = self.routes.add
        add("devices", list=self._index)
        add("devices/{number}", read=self._read, update=self._enrol)
        add("devices/{number}/provision", update=self._provision)
        add("devices/{number}/state", update=self._set_state)
        add("devices/{number}/verdict", update=self._verdict)
        add("quarantine", read=self._quarantine)
        add("leases", list=self._lease_index, update=self._lend)
        add("leases/{number}", read=self._read_lease)
        add("leases/{number}/renew", update=self._renew)
        add("leases/{number}/revoke", update=self._revoke)
        add("leases/{number}/reconcile", update=self._reconcile)

    def close(self) -> None:
        """Nothing is held outside the vault."""

    def tick(self) -> list[str]:
        """Ends leases whose time is over."""
        now, done = self._vault.clock(), []
        for name in self._vault.names(self._leases):
            lease = self._lease(name.removeprefix(self._leases))
            if lease.state == "held" and lease.not_after <= now:
                lease.state = "ended"
                self._save_lease(lease)
                done.append(f"lease {lease.id} of {lease.gateway} ended")
        return done

    # -- devices ----------------------------------------------------------------------------------------

    def _find(self, number: str) -> Device:
        data = self._vault.get(self._devices + _number(number))
        if data is None:
            raise NotFound(f"device {number} is not enrolled")
        return Device(**orjson.loads(data))

    def _save(self, device: Device) -> None:
        self._vault.put(f"{self._devices}{device.id:010}", orjson.dumps(asdict(device)))

    def _index(self, request: Request) -> dict[str, Any]:
        return {
            "keys": [str(int(name.removeprefix(self._devices))) for name in self._vault.names(self._devices)]
        }

    def _read(self, request: Request, number: str) -> dict[str, Any]:
        return self._find(number).describe()

    def _enrol(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}: {owner}. The key comes with `provision`, which writes it to the board."""
        if self._vault.get(self._devices + _number(number)) is not None:
            raise Invalid(f"device {number} is enrolled already: provision it anew, or retire it")
        device = Device(int(number), request.fields.text("owner"), "enrolled", 0, 0, _fresh_key())
        self._note(device, "enrolled", "enrolled")
        return device.describe()

    def _provision(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}/provision: the key to write to the board, with epoch and the boot to start above.

        The first time for an enrolled device; afterwards (a repaired or found board) under a fresh key.
        """
        device = self._find(number)
        if device.state == "retired":
            raise Invalid(f"device {number} is retired: enrol another id")
        if any(event["to"] == "provisioned" for event in device.history):
            if device.epoch >= MAX_EPOCH:
                raise Invalid(f"device {number} has used every epoch: enrol another id")
            device.epoch += 1
            device.key = _fresh_key()
        device.state = "enrolled"
        self._note(device, "provisioned", request.fields.text("reason", "provisioning"))
        self._withdraw(device.id)
        return {**device.describe(), "key": device.key}

    def _set_state(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}/state: {state, reason, since}; `since` (Unix time) only for lost."""
        fields = request.fields
        device, state = self._find(number), fields.text("state")
        if state not in _STATES[device.state]:
            allowed = ", ".join(sorted(_STATES[device.state])) or "nothing: it is final"
            raise Invalid(f"a device that is {device.state} cannot become {state!r}; it can become {allowed}")
        if len(fields.text("reason")) < 3:
            raise Invalid("reason: say why; it is kept with the device")
        now = self._vault.clock()
        if state == "lost":
            since = float(fields.whole("since", int(now)))
            if not 0 <= since <= now:
                raise Invalid("since: the Unix time from which frames are in doubt, not in the future")
            device.quarantined_since = since
        if state == "retired":
            device.key = ""
        device.state = state
        self._note(device, state, fields.text("reason"))
        if state not in _SERVED:
            self._withdraw(device.id)
        return device.describe()

    def _note(self, device: Device, to: str, reason: str) -> None:
        device.history.append(
            {"to": to, "time": self._vault.clock(), "reason": reason, "epoch": device.epoch}
        )
        self._save(device)

    def _verdict(self, request: Request, number: str) -> dict[str, Any]:
        """POST devices/{id}/verdict: {received}: what to do with a frame received at that Unix time."""
        device = self._find(number)
        received = request.fields.whole("received", int(self._vault.clock()))
        if device.quarantined_since is not None and received >= device.quarantined_since:
            found = [event["time"] for event in device.history if event["to"] == "provisioned"]
            if device.state == "lost" or not found or received < found[-1]:
                return {"verdict": "quarantine", "since": device.quarantined_since}
        verdict = "accept" if device.state in _SERVED else "refuse"
        return {"verdict": verdict, "state": device.state}

    def _quarantine(self, request: Request) -> dict[str, Any]:
        """GET quarantine: every device with frames in doubt, and since when."""
        found = {}
        for name in self._vault.names(self._devices):
            device = self._find(name.removeprefix(self._devices))
            if device.quarantined_since is not None:
                found[str(device.id)] = {"since": device.quarantined_since, "state": device.state}
        return {"devices": found}

    # -- leases -----------------------------------------------------------------------------------------

    def _lease(self, number: str) -> Lease:
        data = self._vault.get(self._leases + number) if number.isascii() else None
        if data is None:
            raise NotFound(f"there is no lease {number}")
        return Lease(**orjson.loads(data))

    def _save_lease(self, lease: Lease) -> None:
        self._vault.put(self._leases + lease.id, orjson.dumps(asdict(lease)))

    def _lease_index(self, request: Request) -> dict[str, Any]:
        return {"keys": [name.removeprefix(self._leases) for name in self._vault.names(self._leases)]}

    def _lend(self, request: Request) -> dict[str, Any]:
        """POST leases: {gateway, devices, ttl, frames}. The answer alone carries the keys."""
        fields = request.fields
        gateway = fields.text("gateway")
        if not gateway:
            raise Invalid("gateway: name the gateway that will hold the keys")
        request.check_gateway(gateway)
        wanted = fields.raw.get("devices")
        if not isinstance(wanted, list) or not 0 < len(wanted) <= 1000:
            raise Invalid("devices: a list of 1 to 1000 device ids")
        devices = [self._find(str(number)) for number in wanted]
        for device in devices:
            if device.state not in _SERVED:
                raise Invalid(f"device {device.id} is {device.state}: it cannot be lent")
            if device.state == "enrolled":
                device.state = "active"
                self._note(device, "active", f"lent to {gateway}")
        now = self._vault.clock()
        lease = Lease(
            str(uuid.uuid4()),
            gateway,
            {str(device.id): device.epoch for device in devices},
            now,
            now + _ttl(fields),
            _frames(fields),
        )
        self._save_lease(lease)
        keys = {
            str(device.id): {"key": device.key, "epoch": device.epoch, "boot": device.boot}
            for device in devices
        }
        return {**lease.signed(self._vault), "keys": keys}

    def _read_lease(self, request: Request, number: str) -> dict[str, Any]:
        lease = self._lease(number)
        request.check_gateway(lease.gateway)
        return {**asdict(lease), "not_after_text": rfc3339(lease.not_after)}

    def _renew(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/renew: {ttl, frames}: more time and frames for what was not withdrawn."""
        lease = self._lease(number)
        request.check_gateway(lease.gateway)
        if lease.state != "held":
            raise Invalid(f"lease {number} is {lease.state}: take a new one")
        lease.not_after = self._vault.clock() + _ttl(request.fields)
        lease.frames += _frames(request.fields)
        self._save_lease(lease)
        return lease.signed(self._vault)

    def _revoke(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/revoke: the gateway learns of it at its next word with the KMS."""
        lease = self._lease(number)
        if lease.state == "held":
            lease.state = "revoked"
            lease.not_after = min(lease.not_after, self._vault.clock())
            self._save_lease(lease)
        return asdict(lease)

    def _withdraw(self, number: int) -> None:
        """Takes a device out of every lease that holds it."""
        for name in self._vault.names(self._leases):
            lease = self._lease(name.removeprefix(self._leases))
            if lease.state == "held" and str(number) in lease.devices:
                del lease.devices[str(number)]
                lease.withdrawn.append(number)
                self._save_lease(lease)

    def _reconcile(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/reconcile: {used: {device: {frames, epoch, boot}}}: what was opened, also offline.

        The numbers reach the audit log as they are; floors rise by them and never sink.
        """
        lease = self._lease(number)
        request.check_gateway(lease.gateway)
        used = request.fields.raw.get("used")
        if not isinstance(used, dict):
            raise Invalid("used: an object of device ids with frames, epoch and boot")
        for device_id, told in used.items():
            if device_id not in lease.devices and not (
                device_id.isdigit() and int(device_id) in lease.withdrawn
            ):
                raise Invalid(f"device {device_id} was never in this lease")
            if not isinstance(told, dict):
                raise Invalid("used: an object of device ids with frames, epoch and boot")
            self._raise_floor(device_id, Fields(told), lease)
        if lease.used > lease.frames:
            lease.overused = True
        self._save_lease(lease)
        return {"used": lease.used, "frames": lease.frames, "overused": lease.overused, "state": lease.state}

    def _raise_floor(self, number: str, told: Fields, lease: Lease) -> None:
        frames, epoch, boot = told.whole("frames"), told.whole("epoch"), told.whole("boot")
        if not (0 <= frames <= MAX_FRAMES and 0 <= epoch <= MAX_EPOCH and 0 <= boot <= MAX_BOOT):
            raise Invalid(f"device {number}: frames, epoch or boot is out of range")
        lease.used += frames
        device = self._find(number)
        device.boot = max(device.boot, boot)
        if device.key and epoch > device.epoch:
            if epoch - device.epoch > _LONGEST_STEP:
                raise Invalid(f"device {number}: {epoch - device.epoch} epochs in one lease cannot be")
            key = decode(device.key, "key")
            while device.epoch < epoch:
                to = min(epoch, device.epoch + MAX_AHEAD)
                key, device.epoch = advance(key, device.epoch, to), to
            device.key = encode(key)
        self._save(device)


def _number(text: str) -> str:
    if not text.isdigit() or not text.isascii() or len(text) > 10 or int(text) > MAX_DEVICE:
        raise Invalid("a device id is a number up to 4294967295")
    return f"{int(text):010}"


def _fresh_key() -> str:
    return encode(os.urandom(KEY_BYTES))


def _ttl(fields: Fields) -> float:
    ttl = fields.seconds("ttl", 86400.0)
    if not 60 <= ttl <= LONGEST_LEASE_S:
        raise Invalid(f"ttl: a lease lasts between a minute and {LONGEST_LEASE_S / 86400:.0f} days")
    return ttl


def _frames(fields: Fields) -> int:
    frames = fields.whole("frames", 2**20)
    if not 0 < frames <= MAX_FRAMES:
        raise Invalid(f"frames: between 1 and {MAX_FRAMES}")
    return frames
