"""The paths under leases: lend device keys to a gateway, prolong, end, and reconcile what was used."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from pericard_kms.engines.devices.device import MAX_BOOT, SERVED
from pericard_kms.engines.devices.device_book import DeviceBook
from pericard_kms.engines.devices.lease import LONGEST_LEASE_S, MAX_FRAMES, LeaseRecord
from pericard_kms.engines.devices.lease_book import LeaseBook
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields, decode, rfc3339
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.device.lease import key_commitment
from pericard_protocol.device.ratchet import MAX_EPOCH

MAX_DEVICES = 1000  # in one lease


class LeasePaths:
    """The paths by which gateways take and account for device keys."""

    def __init__(self, routes: Routes, store: SealedStore, devices: DeviceBook, leases: LeaseBook) -> None:
        self._store, self._devices, self._leases = store, devices, leases
        add = routes.add
        add("leases", list=self._index, update=self._lend)
        add("leases/{number}", read=self._read)
        add("leases/{number}/renew", update=self._renew)
        add("leases/{number}/revoke", update=self._revoke)
        add("leases/{number}/reconcile", update=self._reconcile)

    def _index(self, request: Request) -> dict[str, Any]:
        return {"keys": self._leases.names()}

    def _lend(self, request: Request) -> dict[str, Any]:
        """POST leases: {gateway, devices, ttl, frames}. The answer alone carries the keys.

        What may be lent is lent; `refused` says of each other device why it is not.
        """
        fields = request.fields
        gateway = fields.text("gateway")
        if not gateway:
            raise Invalid("gateway: name the gateway that will hold the keys")
        request.check_gateway(gateway)
        wanted = _numbers(fields, "devices")
        if not wanted:
            raise Invalid("devices: a list of 1 to 1000 device ids")
        refused = self._refused(wanted)
        devices = [self._devices.find(number) for number in wanted if number not in refused]
        if not devices:
            raise Invalid("; ".join(refused.values()))
        for device in devices:
            if device.state == "enrolled":
                device.state = "active"
                self._devices.save_event(device, "active", f"lent to {gateway}")
        now = self._store.clock()
        lease = LeaseRecord(
            str(uuid.uuid4()),
            gateway,
            {str(device.id): device.epoch for device in devices},
            now,
            now + _ttl(fields),
            _frames(fields),
            commitments={
                str(one.id): key_commitment(one.id, one.epoch, decode(one.key, "key")) for one in devices
            },
        )
        self._leases.save(lease)
        keys = {
            str(device.id): {"key": device.key, "epoch": device.epoch, "boot": device.boot}
            for device in devices
        }
        return {**lease.signed(self._store), "keys": keys, "refused": refused}

    def _refused(self, wanted: Iterable[str]) -> dict[str, str]:
        """Of each device that cannot be lent, why."""
        found = {}
        for number in wanted:
            try:
                state = self._devices.find(number).state
            except NotFound as error:
                found[number] = str(error)
                continue
            if state not in SERVED:
                found[number] = f"device {number} is {state}: it cannot be lent"
        return found

    def _read(self, request: Request, number: str) -> dict[str, Any]:
        lease = self._leases.find(number)
        request.check_gateway(lease.gateway)
        return {**asdict(lease), "not_after_text": rfc3339(lease.not_after)}

    def _renew(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/renew: {ttl, frames}: more time and frames for what was not withdrawn."""
        lease = self._leases.find(number)
        request.check_gateway(lease.gateway)
        if lease.state != "held":
            raise Invalid(f"lease {number} is {lease.state}: take a new one")
        lease.not_after = self._store.clock() + _ttl(request.fields)
        lease.frames += _frames(request.fields)
        self._leases.save(lease)
        return lease.signed(self._store)

    def _revoke(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/revoke: the gateway learns of it at its next word with the KMS."""
        lease = self._leases.find(number)
        if lease.state == "held":
            lease.state = "revoked"
            # `not_after` stays: until then the gateway may work on, if it does not hear of this.
            for device in [self._devices.find(one) for one in lease.devices]:
                lease.withdraw(device.id)
                device.still_lent[lease.id] = lease.not_after
                self._devices.save(device)
            self._leases.save(lease)
        return asdict(lease)

    def _reconcile(self, request: Request, number: str) -> dict[str, Any]:
        """POST leases/{id}/reconcile: {used: {device: {frames, epoch, boot}}, holds, wanted}.

        `used` is what was opened, also offline: the numbers reach the audit log as they are; floors rise by
        them and never sink. `holds` lists the devices whose keys the gateway has now: what was withdrawn and
        is not among them is given back. The answer is the lease as it is now, signed, and why each of the
        devices in `wanted` cannot be lent, if so.
        """
        lease = self._leases.find(number)
        request.check_gateway(lease.gateway)
        used = request.fields.raw.get("used", {})
        if not isinstance(used, dict):
            raise Invalid("used: an object of device ids with frames, epoch and boot")
        for device_id, report in used.items():
            if device_id not in lease.devices and not (
                device_id.isdigit() and int(device_id) in lease.withdrawn
            ):
                raise Invalid(f"device {device_id} was never in this lease")
            if not isinstance(report, dict):
                raise Invalid("used: an object of device ids with frames, epoch and boot")
            self._account(device_id, Fields(report), lease)
        if lease.used > lease.frames:
            lease.overused = True
        if "holds" in request.fields:
            self._take_back(lease, _numbers(request.fields, "holds"))
        self._leases.save(lease)
        return {
            **lease.signed(self._store),
            "refused": self._refused(_numbers(request.fields, "wanted")),
            "used": lease.used,
            "frames": lease.frames,
            "overused": lease.overused,
            "state": lease.state,
        }

    def _take_back(self, lease: LeaseRecord, holds: Collection[str]) -> None:
        """Notes which withdrawn keys the gateway has dropped; one that holds no key at all ends its lease."""
        if lease.state == "held" and not holds:
            lease.state = "ended"
        for one in {*map(str, lease.withdrawn)}.difference(holds):
            device = self._devices.find(one)
            if device.give_back(lease.id, self._store.clock()):
                self._devices.save(device)

    def _account(self, number: str, report: Fields, lease: LeaseRecord) -> None:
        frames, epoch, boot = report.whole("frames"), report.whole("epoch"), report.whole("boot")
        if not (0 <= frames <= MAX_FRAMES and 0 <= epoch <= MAX_EPOCH and 0 <= boot <= MAX_BOOT):
            raise Invalid(f"device {number}: frames, epoch or boot is out of range")
        lease.used += frames
        device = self._devices.find(number)
        device.raise_floor(epoch, boot)
        self._devices.save(device)


def _numbers(fields: Fields, name: str) -> list[str]:
    """A list of device ids, each once; empty when absent."""
    found = fields.raw.get(name) or []
    if not isinstance(found, list) or len(found) > MAX_DEVICES:
        raise Invalid(f"{name}: a list of at most {MAX_DEVICES} device ids")
    return list(dict.fromkeys(map(str, found)))


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
