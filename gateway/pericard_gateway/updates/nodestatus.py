"""Reads what matters here of a node's status frame: its version, and how far it is with an update. Pure."""

from typing import NamedTuple

import jiter

from pericard_protocol.device.update import MAX_VERSION


class NodeStatus(NamedTuple):
    """Part of a status frame's payload.

    Attributes:
        version: of the firmware that the node runs.
        update: how many bytes of an update it has taken; None where its firmware does not say.
        room: for how many more bytes it has room; None where its firmware does not say.
        failed: the version that it has taken back; 0 where it says of none.
    """

    version: int
    update: int | None
    room: int | None
    failed: int = 0


def parse_status(payload: bytes) -> NodeStatus | None:
    """The status in an authentic frame's payload; None where it is not what our firmware writes."""
    try:
        found = jiter.from_json(payload, allow_inf_nan=False)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    version, taken, room = (found.get(name) for name in ("version", "update", "room"))
    if type(version) is not int or not 0 <= version <= MAX_VERSION:
        return None
    failed = found.get("failed_version", 0)
    if any(one is not None and (type(one) is not int or one < 0) for one in (taken, room)):
        return None
    if type(failed) is not int:
        return None
    return NodeStatus(version, taken, room, failed)
