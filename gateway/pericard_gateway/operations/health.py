"""What the gateway says of itself: its troubles, whether it is well, its status. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.uplink.spool import Depth


class Snapshot(NamedTuple):
    """The gateway at one moment.

    Attributes:
        gateway: its id.
        kem: who computes ML-KEM.
        uplink: "up", or why it is not.
        ports: of each port by its name, why it cannot be read; empty where it can.
        intake: why frames cannot be stored; empty when they can.
        spool_full: whether the devices are not read because the spool has reached its bound.
        can_seal: whether a valid key bundle is there.
        spool: what waits.
        counts: what was counted since the start.
        updates: how far the devices' update has come; None without one.
    """

    gateway: str
    kem: str
    uplink: str
    ports: Mapping[str, str]
    intake: str
    spool_full: bool
    can_seal: bool
    spool: Depth
    counts: GatewayCounts
    updates: dict[str, object] | None


def troubles(now: Snapshot) -> dict[str, str]:
    """What is not as it should be, by what it is; empty when all is."""
    found = {"uplink": now.uplink} if now.uplink != "up" else {}
    found |= {f"port {name}": trouble for name, trouble in now.ports.items() if trouble}
    if now.intake:
        found["store"] = now.intake
    if now.spool_full:
        found["spool"] = "full: devices are not read"
    if not now.can_seal:
        found["key bundle"] = "none that is valid"
    if now.counts.lease:
        found["lease"] = now.counts.lease
    found |= {f"device {number}": f"not lent: {why}" for number, why in now.counts.not_lent.items()}
    return found


def unwell(found: Mapping[str, str]) -> bool:
    """Whether these troubles stop frames from being taken. On the uplink they do not."""
    return "store" in found or "spool" in found


def status_row(now: Snapshot) -> dict[str, object]:
    """Everything; the README names the keys."""
    counts = now.counts
    return {
        "gateway": now.gateway,
        "kem": now.kem,
        "devices": {str(device): frames.row() for device, frames in counts.devices.items()},
        "rejected": dict(counts.rejected),
        "refused": dict(counts.refused),
        "not_lent": {str(device): why for device, why in counts.not_lent.items()},
        "spool": now.spool._asdict(),
        "uplink": now.uplink,
        "acked_frames": counts.acked_frames,
        "bytes_in": counts.bytes_in,
        "bytes_out": counts.bytes_out,
        "stage_ms": counts.stage_ms,
        "updates": now.updates,
        "troubles": troubles(now),
    }
