"""The gateway's secrets from the KMS: files that it sealed, and device keys that it lends under a lease.

Lent keys are in this process's memory only. About every minute the gateway asks for its lease: a device that
the KMS took out of it is dropped at once, one that may be lent again is asked for. At half its time the lease
is renewed, and the KMS told how many frames were opened under it. When the KMS withdraws the lease, or it
ends while the KMS does not answer, every device key is dropped. What waits in the spool is still delivered.

A lease counts only when it is signed by the log key that the operator noted at the KMS's set-up, and a key
only when the lease commits to it: whoever poses as the KMS can neither make a lease up nor exchange its keys.
"""

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pericard_edge.jsonlog import fields
from pericard_edge.kms import KmsClient, KmsRefused, TokenDenied, read_sealed
from pericard_gateway.config import KmsLeaseSettings
from pericard_gateway.custody import Committed
from pericard_gateway.custody.former import FormerLeases
from pericard_gateway.custody.holds import Holds
from pericard_gateway.devices.registry import Device, Registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.operations.counts import GatewayCounts
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.lease import Lease, LeaseError, check_lease, key_commitment
from pericard_protocol.errors import Unavailable

_TICK_SECONDS = 1.0  # how late an end of the lease may be noticed
_RETRY_SECONDS = 30.0  # between two attempts to take a lease
_HOLD_SECONDS = 5.0  # how often the KMS is told of a change in the KEM keys that are needed

_LEASES = "devices/leases"

_log = logging.getLogger("pericard.gateway")


@dataclass
class _Held:
    """The lease that is held; times by the monotonic clock, which nobody sets."""

    lease: Lease
    lent: frozenset[int]  # every device that was ever in it
    renew_at: float
    ends_at: float
    frames: int  # how many frames may be opened in all, by our own count


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
        self._former = FormerLeases(self._client, state)
        self._held: _Held | None = None
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
            if error.denied:
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
        """Asks for the lease again and again, and renews it; drops the keys at its end, and takes a new one.

        Also holds the hospital's KEM keys that are needed here (holds.py).
        """
        ask_at = held_at = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            if now >= held_at:
                held_at = now + _HOLD_SECONDS
                await self._hold_kem_keys(await committed.key_ids())
            if self._held and self._used_up(self._held, now):
                self._drop_keys(registry, "its time or its frames are used up")
            if now < ask_at:
                continue
            ask_at = now + (self._kms.ask_seconds if self._held else _RETRY_SECONDS)
            try:
                await self._ask(registry, committed)
                self._counts.lease = ""
            except LeaseError as error:
                # Not our KMS's word: what it lent before is neither renewed by it nor withdrawn.
                self._counts.lease = str(error)
                _log.error("a lease is refused", extra=fields(why=str(error), lease=self._id))
            except KmsRefused as error:
                self._counts.lease = str(error)
                self._drop_keys(registry, str(error))
            except Unavailable as error:
                self._counts.lease = str(error)
                about = fields(why=str(error), lease=self._id)
                _log.warning("the KMS does not answer", extra=about)

    @property
    def _id(self) -> str | None:
        return self._held.lease.id if self._held else None

    async def _hold_kem_keys(self, needed: frozenset[str]) -> None:
        if needed == self._holds.held:
            return
        try:
            await asyncio.to_thread(self._holds.update, needed)
        except (KmsRefused, Unavailable) as error:
            _log.warning("the KMS was not told which KEM keys are needed", extra=fields(why=str(error)))

    async def _ask(self, registry: Registry, committed: Committed) -> None:
        """One word with the KMS: does the lease stand as it did, and may more be lent."""
        if self._held is not None:
            due = time.monotonic() >= self._held.renew_at
            used = self._used(self._held, await committed.marks()) if due else {}
            here = [number for number in self._kms.devices if number in registry]
            lease, refused = await asyncio.to_thread(self._hear, self._held, used, here)
            self._keep_only(registry, self._held, lease)
            self._note_refused(registry, refused)
            if self._held is not None and due:
                held = self._held
                self._keep_only(registry, held, await asyncio.to_thread(self._renew, held))
        if self._held is None or self._counts.not_lent.keys() != {
            number for number in self._kms.devices if number not in registry
        }:
            devices = await asyncio.to_thread(self._take_lease)
            registry.adopt(devices, await committed.marks())
        await asyncio.to_thread(self._former.give_back, self._id)

    def _take_lease(self) -> dict[int, Device]:
        asked = time.monotonic()
        answer = self._client.call(
            "POST",
            _LEASES,
            {"gateway": self._gateway_id, "devices": self._kms.devices, **self._terms()},
        )
        lease = self._checked(answer)
        devices = _lent(answer, lease)
        self._hold(lease, asked, frozenset(devices))
        self._reported = {number: self._frames_opened(number) for number in self._kms.devices}
        self._note_refused(devices, _reasons(answer))
        return devices

    def _hear(
        self, held: _Held, used: dict[int, dict[str, int]], here: list[int]
    ) -> tuple[Lease, dict[int, str]]:
        """The lease as it stands now, and why each of our devices cannot be lent, if so."""
        told = {str(number): report for number, report in used.items()}
        body = {"used": told, "holds": here, "wanted": self._kms.devices}
        answer = self._client.call("POST", f"{_LEASES}/{held.lease.id}/reconcile", body)
        for number, report in used.items():
            self._reported[number] = self._reported.get(number, 0) + report["frames"]
        return self._still(held, answer), _reasons(answer)

    def _used(self, held: _Held, marks: Mapping[int, Mark]) -> dict[int, dict[str, int]]:
        return {
            number: {
                "frames": self._frames_opened(number) - self._reported.get(number, 0),
                "epoch": mark.epoch,
                "boot": max(mark.boot, 0),
            }
            for number, mark in marks.items()
            if number in held.lent
        }

    def _renew(self, held: _Held) -> Lease:
        asked = time.monotonic()
        answer = self._client.call("POST", f"devices/leases/{held.lease.id}/renew", self._terms())
        lease = self._still(held, answer)
        self._hold(lease, asked, held.lent)
        return lease

    def _still(self, held: _Held, answer: dict[str, Any]) -> Lease:
        lease = self._checked(answer)
        if lease.id != held.lease.id:
            raise LeaseError("the KMS answered for another lease")
        return lease

    def _terms(self) -> dict[str, str | int]:
        return {"ttl": f"{self._kms.lease_hours}h", "frames": self._kms.lease_frames}

    def _checked(self, answer: dict[str, Any]) -> Lease:
        lease, signature = str(answer.get("lease")), str(answer.get("signature"))
        return check_lease(lease, signature, self._log_key, self._gateway_id, time.time())

    def _hold(self, lease: Lease, asked: float, lent: frozenset[int]) -> None:
        """Counts the lease's time from when we asked: the KMS signed it after that."""
        lasts = lease.not_after - lease.issued
        frames = self._frames_in_all() + self._kms.lease_frames
        self._held = _Held(lease, lent, asked + lasts / 2, asked + lasts, frames)
        _log.info("lease held", extra=fields(lease=lease.id, until=lease.not_after))

    def _used_up(self, held: _Held, now: float) -> bool:
        # Both clocks: one may have been set back, the other stands still while the machine sleeps.
        over = now >= held.ends_at or time.time() >= held.lease.not_after
        return over or self._frames_in_all() > held.frames

    def _drop_keys(self, registry: Registry, why: str) -> None:
        if self._held:
            _log.error("lease ended, device keys dropped", extra=fields(lease=self._id, why=why))
        registry.forget()
        self._held = None
        self._counts.not_lent = dict.fromkeys(self._kms.devices, why)

    def _keep_only(self, registry: Registry, held: _Held, lease: Lease) -> None:
        """Drops the keys of devices that the KMS took out of the lease: it is lost, say, or has a new key."""
        same = {number for number, lent in held.lease.devices.items() if lease.devices.get(number) == lent}
        gone = [number for number in self._kms.devices if number in registry and number not in same]
        if gone:
            _log.error("device keys withdrawn", extra=fields(lease=lease.id, devices=gone))
            registry.keep_only(same)
        if not len(registry):
            self._drop_keys(registry, "every device was taken out of it")

    def _note_refused(self, here: Registry | Mapping[int, Device], refused: Mapping[int, str]) -> None:
        """Keeps why each device that is not here is not lent; one without a reason may be asked for."""
        now = {number: why for number, why in refused.items() if number not in here}
        for number in now.keys() - self._counts.not_lent.keys():
            _log.error("device not lent", extra=fields(device=number, why=now[number]))
        self._counts.not_lent = now

    def _frames_opened(self, device: int) -> int:
        frames = self._counts.devices.get(device)
        return frames.accepted if frames else 0

    def _frames_in_all(self) -> int:
        return sum(map(self._frames_opened, self._kms.devices))


def _reasons(answer: dict[str, Any]) -> dict[int, str]:
    """Why devices cannot be lent, as the KMS says. It is not signed, and nothing is opened because of it."""
    told = answer.get("refused")
    try:
        return {int(number): str(why) for number, why in told.items()} if isinstance(told, dict) else {}
    except ValueError:
        return {}


def _lent(answer: dict[str, Any], lease: Lease) -> dict[int, Device]:
    """The devices in a KMS's answer, with their keys: those to which the lease commits, and no other."""
    try:
        keys = {int(number): b64decode(one["key"]) for number, one in answer["keys"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        keys = {}
    if keys.keys() != lease.devices.keys():
        raise LeaseError("the keys that came with the lease are not those of its devices")
    for number, (epoch, commitment) in lease.devices.items():
        if len(keys[number]) != KEY_BYTES or key_commitment(number, epoch, keys[number]) != commitment:
            raise LeaseError(f"the key that came for device {number} is not the one that the lease names")
    return {number: Device(keys[number], lent.epoch) for number, lent in lease.devices.items()}
