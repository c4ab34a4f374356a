"""The gateway's secrets from the KMS: files that it sealed, and device keys that it lends under a lease.

Lent keys are in this process's memory only. The lease is renewed in time; the KMS is then told how many
frames were opened under it. When the KMS withdraws the lease, or it ends while the KMS does not answer, every
device key is dropped at once; a device that the KMS took out of it is dropped at the next renewal. What waits
in the spool is still delivered.

A lease counts only when it is signed by the log key that the operator noted at the KMS's set-up: whoever
poses as the KMS cannot make one up. The keys that come with it are not bound to it yet: who can stand between
the two, with a certificate that the gateway believes, can pass a true lease on and exchange the keys.
"""

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pericard_edge.jsonlog import fields
from pericard_edge.kms import KmsClient, KmsRefused, TokenDenied, read_sealed
from pericard_gateway.config import KmsLeaseSettings
from pericard_gateway.custody import Committed
from pericard_gateway.custody.holds import Holds
from pericard_gateway.devices.registry import Device, Registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.operations.counts import GatewayCounts
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.lease import LeaseError, check_lease
from pericard_protocol.errors import Unavailable

_TICK_SECONDS = 1.0  # how late an end of the lease may be noticed
_RETRY_SECONDS = 30.0  # between two attempts to renew a lease, or to take one
_HOLD_SECONDS = 5.0  # how often the KMS is told of a change in the KEM keys that are needed

_LEASES = "devices/leases"
_FORBIDDEN = 403  # what Vault's API answers to a token that may not, and to one that it does not know

_log = logging.getLogger("pericard.gateway")


class KmsCustody:
    """One gateway's token, lease and holds."""

    def __init__(self, gateway_id: str, kms: KmsLeaseSettings, counts: GatewayCounts, state: Path) -> None:
        """Speaks to no KMS yet.

        Raises:
            NoToken: none in the environment.
        """
        self._client = KmsClient.of_environment(kms.address, kms.ca, "gateway")
        self._gateway_id, self._kms, self._counts = gateway_id, kms, counts
        self._log_key = b64decode(kms.log_key)
        self._holds = Holds(self._client, gateway_id, state)
        self._lease: dict[str, Any] = {}
        self._reported: dict[int, int] = {}  # how many frames of each device the KMS was told of
        self.read_secret = cache(self._read_secret)  # a reconnection must not need the KMS

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _read_secret(self, path: Path, what: str) -> bytes:
        return read_sealed(self._client, self._kms.files_key, path, what)

    def check(self) -> None:
        """Asks the KMS whether our token may take a lease; takes none.

        Whether each device may be lent shows only when it is.

        Raises:
            TokenDenied: it may not.
            KmsRefused, Unavailable: the KMS does not say.
        """
        try:
            answer = self._client.call("POST", "sys/capabilities-self", {"paths": [_LEASES]})
        except KmsRefused as error:
            if error.status == _FORBIDDEN:
                raise TokenDenied("to serve us", "gateway") from None
            raise
        granted = answer.get(_LEASES)
        if not isinstance(granted, list) or not {"update", "root"}.intersection(map(str, granted)):
            raise TokenDenied("device keys", "gateway")

    def registry(self) -> Registry:
        """The devices lent to us, from a new lease.

        Raises:
            KmsRefused, Unavailable: there is no lease.
            LeaseError: what came is no lease of our KMS's.
        """
        return Registry(self._take_lease())

    async def keep(self, registry: Registry, committed: Committed) -> None:
        """Renews the lease at half of its time; drops the keys at its end, and then asks for a new one.

        Also holds the hospital's KEM keys that are needed here (holds.py).
        """
        attempt = held_at = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.time()
            if now >= held_at:
                held_at = now + _HOLD_SECONDS
                await self._hold_kem_keys(await committed.key_ids())
            if self._lease and self._used_up(now):
                self._drop_keys(registry, "its time or its frames are used up")
            if now < max(attempt, self._lease.get("renew_at", 0.0)):
                continue
            attempt = now + _RETRY_SECONDS
            try:
                if self._lease:
                    lent = await asyncio.to_thread(self._renew, await committed.marks())
                    self._keep_only(registry, lent)
                else:
                    devices = await asyncio.to_thread(self._take_lease)
                    registry.adopt(devices, await committed.marks())
            except LeaseError as error:
                # Not our KMS's word: what it lent before is neither renewed by it nor withdrawn.
                _log.error("a lease is refused", extra=fields(why=str(error), lease=self._lease.get("id")))
            except KmsRefused as error:
                self._drop_keys(registry, str(error))
            except Unavailable as error:
                about = fields(why=str(error), lease=self._lease.get("id"))
                _log.warning("the KMS does not answer", extra=about)

    async def _hold_kem_keys(self, needed: frozenset[str]) -> None:
        if needed == self._holds.held:
            return
        try:
            await asyncio.to_thread(self._holds.update, needed)
        except (KmsRefused, Unavailable) as error:
            _log.warning("the KMS was not told which KEM keys are needed", extra=fields(why=str(error)))

    def _take_lease(self) -> dict[int, Device]:
        answer = self._client.call(
            "POST",
            _LEASES,
            {"gateway": self._gateway_id, "devices": self._kms.devices, **self._terms()},
        )
        lease = self._checked(answer)
        devices = _lent(answer, lease["devices"])
        self._hold(lease)
        self._reported = {number: self._frames_opened(number) for number in self._kms.devices}
        return devices

    def _renew(self, marks: Mapping[int, Mark]) -> frozenset[int]:
        """The devices that the renewed lease still holds."""
        path = f"{_LEASES}/{self._lease['id']}"
        counts = {number: self._frames_opened(number) for number in marks}
        used = {
            str(number): {
                "frames": counts[number] - self._reported.get(number, 0),
                "epoch": mark.epoch,
                "boot": max(mark.boot, 0),
            }
            for number, mark in marks.items()
        }
        self._client.call("POST", f"{path}/reconcile", {"used": used})
        self._reported |= counts
        lease = self._checked(self._client.call("POST", f"{path}/renew", self._terms()))
        if lease["id"] != self._lease["id"]:
            raise LeaseError("the KMS answered a renewal with another lease")
        self._hold(lease)
        return frozenset(map(int, lease["devices"]))

    def _terms(self) -> dict[str, str | int]:
        return {"ttl": f"{self._kms.lease_hours}h", "frames": self._kms.lease_frames}

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        lease, signature = str(answer.get("lease")), str(answer.get("signature"))
        return check_lease(lease, signature, self._log_key, self._gateway_id, time.time())

    def _hold(self, lease: dict[str, Any]) -> None:
        self._lease = {
            "id": lease["id"],
            "not_after": lease["not_after"],
            "renew_at": (time.time() + lease["not_after"]) / 2,
            # What may be opened in all, by our own count.
            "frames": self._frames_in_all() + self._kms.lease_frames,
        }
        _log.info("lease held", extra=fields(lease=lease["id"], until=lease["not_after"]))

    def _used_up(self, now: float) -> bool:
        over: bool = now >= self._lease["not_after"]
        return over or self._frames_in_all() > self._lease["frames"]

    def _drop_keys(self, registry: Registry, why: str) -> None:
        if self._lease:
            _log.error("lease ended, device keys dropped", extra=fields(lease=self._lease["id"], why=why))
        registry.forget()
        self._lease = {}

    def _keep_only(self, registry: Registry, lent: frozenset[int]) -> None:
        """Drops the keys of devices that the KMS took out of the lease: it is lost, say, or has a new key."""
        if not lent:
            self._drop_keys(registry, "every device was taken out of it")
        elif gone := [number for number in self._kms.devices if number in registry and number not in lent]:
            _log.error("device keys withdrawn", extra=fields(lease=self._lease["id"], devices=gone))
            registry.keep_only(lent)

    def _frames_opened(self, device: int) -> int:
        frames = self._counts.devices.get(device)
        return frames.accepted if frames else 0

    def _frames_in_all(self) -> int:
        return sum(map(self._frames_opened, self._kms.devices))


def _lent(answer: dict[str, Any], leased: dict[str, int]) -> dict[int, Device]:
    """The devices in a KMS's answer, with their keys: those of the lease, each at the epoch that it names."""
    try:
        keys = {number: (b64decode(one["key"]), one["epoch"]) for number, one in answer["keys"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        keys = {}
    if {number: epoch for number, (_, epoch) in keys.items()} != leased:
        raise LeaseError("the keys that came with the lease are not those of its devices")
    if any(len(key) != KEY_BYTES for key, _ in keys.values()):
        raise LeaseError("the KMS lent a key that is not one of a device")
    return {int(number): Device(key, epoch) for number, (key, epoch) in keys.items()}
