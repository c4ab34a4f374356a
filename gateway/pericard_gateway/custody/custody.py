"""Where the gateway's secrets come from: private files of its own, or files sealed by the KMS and a lease.

Under a lease device keys exist in this process's memory only. It is renewed in time, with what was opened
under it; when the KMS withdraws it, or it ends while the KMS is away, every device key is dropped at once,
while what waits in the spool is still delivered. The lease itself needs no signature check here: it comes
over TLS from the KMS and never touches a disk.
"""

import asyncio
import json
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pericard_edge import files
from pericard_edge.jsonlog import fields
from pericard_edge.kms import KmsClient, KmsUnreachable, Refused, read_sealed
from pericard_gateway.custody.holds import Holds
from pericard_gateway.devices.registry import Device, Registry, parse_registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.errors import RegistryError
from pericard_gateway.operations.counters import Counters
from pericard_gateway.settings import Kms, Settings
from pericard_protocol.device.frame import KEY_BYTES

_TICK_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_HOLD_SECONDS = 5.0

_log = logging.getLogger("pericard.gateway")

Marks = Callable[[], Mapping[int, Mark]]  # how far each device has come
KeyIds = Callable[[], frozenset[str]]  # of the hospital's KEM keys


class Custody(Protocol):
    """Gives the process its secrets."""

    def read_secret(self, path: Path, what: str) -> bytes:
        """A private file of the configuration."""

    def registry(self) -> Registry:
        """The devices that this gateway may open."""

    async def keep(self, registry: Registry, marks: Marks, needed: KeyIds) -> None:
        """Runs beside the gateway for as long as it does; `needed` names KEM keys to keep."""


class FileCustody:
    """Private files, mode 0600; the device keys in one of them."""

    def __init__(self, devices: Path) -> None:
        self._devices = devices

    def read_secret(self, path: Path, what: str) -> bytes:
        """The file as it is."""
        return files.read_secret(path, what)

    def registry(self) -> Registry:
        """From the device registry."""
        return parse_registry(files.read_secret(self._devices, "device registry"))

    async def keep(self, registry: Registry, marks: Marks, needed: KeyIds) -> None:
        """Nothing ends by itself."""
        await asyncio.Event().wait()


class KmsCustody:
    """Sealed files, and a lease of device keys."""

    def __init__(self, gateway_id: str, kms: Kms, counters: Counters, state: Path) -> None:
        """Speaks to no KMS yet.

        Raises:
            NoToken: none in the environment.
        """
        self._client = KmsClient.of_environment(kms.address, kms.ca, "gateway")
        self._gateway_id, self._kms, self._counters = gateway_id, kms, counters
        self._holds = Holds(self._client, gateway_id, state)
        self._lease: dict[str, Any] = {}
        self.away = False  # whether the KMS did not answer the last time
        self._told: dict[int, int] = {}  # frames of each device that the KMS knows of
        self.read_secret = cache(self._read_secret)  # a reconnection must not need the KMS

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _read_secret(self, path: Path, what: str) -> bytes:
        return read_sealed(self._client, self._kms.files_key, path, what)

    def registry(self) -> Registry:
        """The devices lent to us, from a new lease.

        Raises:
            Refused, KmsUnreachable: there is no lease.
        """
        return Registry(self._take())

    async def keep(self, registry: Registry, marks: Marks, needed: KeyIds) -> None:
        """Renews the lease at half of its time; drops the keys at its end and then asks for a new one.

        And holds the hospital's KEM keys that are needed (see `holds`).
        """
        attempt = held_at = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.time()
            if now >= held_at:
                held_at = now + _HOLD_SECONDS
                await self._hold_keys(needed())
            if self._lease and (now >= self._lease["not_after"] or self._used() > self._lease["frames"]):
                self._end(registry, "its time or its frames are used up")
            if now < max(attempt, self._lease.get("renew_at", 0.0)):
                continue
            attempt = now + _RETRY_SECONDS
            try:
                if self._lease:
                    await asyncio.to_thread(self._renew, dict(marks()))
                else:
                    registry.adopt(await asyncio.to_thread(self._take), marks())
                self.away = False
            except Refused as error:
                self._end(registry, str(error))
            except KmsUnreachable as error:
                self.away = True
                _log.warning("the KMS is away", extra=fields(why=str(error), lease=self._lease.get("id")))

    async def _hold_keys(self, needed: frozenset[str]) -> None:
        if needed == self._holds.held:
            return
        try:
            await asyncio.to_thread(self._holds.update, needed)
        except (Refused, KmsUnreachable) as error:
            _log.warning("a KEM key's hold is not told yet", extra=fields(why=str(error)))

    def _take(self) -> dict[int, Device]:
        answer = self._client.call(
            "POST",
            "devices/leases",
            {"gateway": self._gateway_id, "devices": self._kms.devices, **self._terms()},
        )
        self._hold(answer)
        self._told = {number: self._opened(number) for number in self._kms.devices}
        lent = answer["keys"].items()
        keys = {int(number): (b64decode(one["key"]), int(one["epoch"])) for number, one in lent}
        if any(len(key) != KEY_BYTES for key, _ in keys.values()):
            raise RegistryError("the KMS lent a key that is not one of a device")
        return {number: Device(key, epoch) for number, (key, epoch) in keys.items()}

    def _renew(self, marks: dict[int, Mark]) -> None:
        path = f"devices/leases/{self._lease['id']}"
        counts = {number: self._opened(number) for number in marks}
        used = {
            str(number): {
                "frames": counts[number] - self._told.get(number, 0),
                "epoch": mark.epoch,
                "boot": max(mark.boot, 0),
            }
            for number, mark in marks.items()
        }
        self._client.call("POST", f"{path}/reconcile", {"used": used})
        self._told |= counts
        self._hold(self._client.call("POST", f"{path}/renew", self._terms()))

    def _terms(self) -> dict[str, str | int]:
        return {"ttl": f"{self._kms.lease_hours}h", "frames": self._kms.lease_frames}

    def _hold(self, answer: dict[str, Any]) -> None:
        lease = json.loads(answer["lease"])
        self._lease = {
            "id": lease["id"],
            "not_after": lease["not_after"],
            "renew_at": (time.time() + lease["not_after"]) / 2,
            # What may be opened in all, by our own count.
            "frames": self._used() + self._kms.lease_frames,
        }
        _log.info("lease held", extra=fields(lease=lease["id"], until=lease["not_after"]))

    def _end(self, registry: Registry, why: str) -> None:
        if self._lease:
            _log.error("lease ended, device keys dropped", extra=fields(lease=self._lease["id"], why=why))
        registry.forget()
        self._lease = {}

    def _opened(self, device: int) -> int:
        counts = self._counters.devices.get(device)
        return counts.accepted if counts else 0

    def _used(self) -> int:
        return sum(map(self._opened, self._kms.devices))


def custody_of(settings: Settings, counters: Counters) -> Custody:
    """The custody that the configuration names."""
    if settings.kms is not None:
        return KmsCustody(settings.gateway_id, settings.kms, counters, settings.state)
    if settings.devices is None:  # the settings' own check makes sure that it is not
        raise RegistryError("give `devices`, or [kms]")
    return FileCustody(settings.devices)
