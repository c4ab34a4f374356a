"""Counts what the gateway does, in plain integers. No I/O.

Rejections are counted by reason, and by device only for devices in the registry: an attacker who writes ever
new numbers into headers does not make this grow.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("open", "seal", "spool", "uplink")


@dataclass
class DeviceCounts:
    """One device's frames: `received` = `accepted` + all `rejected`."""

    received: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def row(self) -> dict[str, object]:
        """The same, for JSON."""
        return {"received": self.received, "accepted": self.accepted, "rejected": dict(self.rejected)}


@dataclass
class GatewayCounts:
    """All counts since the start; `refused` has what the hospital refused, and what of its keys we did.

    Two are no counts, but what is so now: `not_lent`, why the KMS does not lend the key of a configured
    device, by device; and `lease`, why the KMS's word on the lease did not come or does not count, or "".
    """

    devices: dict[int, DeviceCounts] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    acked_frames: int = 0
    acked_records: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lease: str = ""
    not_lent: dict[int, str] = field(default_factory=dict)
    reconnects: int = 0
    port_errors: int = 0
    stage_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def accept(self, device: int) -> None:
        """A frame of `device` was accepted."""
        of_device = self.devices.get(device) or self.devices.setdefault(device, DeviceCounts())
        of_device.received += 1
        of_device.accepted += 1

    def reject(self, reason: str, device: int | None) -> None:
        """A frame or packet was rejected; `device` only if it is in the registry."""
        self.rejected[reason] += 1
        if device is not None:
            of_device = self.devices.setdefault(device, DeviceCounts())
            of_device.received += 1
            of_device.rejected[reason] += 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_ms[name] += (time.perf_counter() - start) * 1e3
