"""Which nodes get the update, and when: their states, attempts and waits. No I/O; times are passed in.

What a node says of itself is authentic, and may still be a lie: it decides about that node only.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_gateway.updates.nodestatus import NodeStatus
from pericard_gateway.updates.state import Event, UpdateState, after
from pericard_protocol.device.update import Update

# A failed attempt is repeated when the node next reports after the wait: ten attempts take about an hour.
MAX_ATTEMPTS = 10
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 1800.0

_TOO_OLD = "its firmware knows of no gateway that updates it: `pericard update PORT`, once, by cable"
_TAKEN_BACK = "this update did not prove itself there, and the node took it back: sign a later one"
_NO_KEY = "it has no update key: provision it with --update-key"

_log = logging.getLogger("pericard.gateway")


@dataclass(eq=False)
class Attempt:
    """One attempt to bring a node the update; only a node's newest attempt may change its state.

    `taken` bytes the node says that it has; `sent` bytes it was given.
    """

    device: int
    taken: int = 0
    sent: int = 0


@dataclass
class NodeProgress:
    """One device's way to the update."""

    version: int = 0
    state: UpdateState = UpdateState.WAITING
    percent: int = 0
    attempts: int = 0
    why: str = ""
    attempt: Attempt | None = None
    not_before: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))

    def step(self, event: Event) -> None:
        """Moves the node to its next state."""
        self.state = after(self.state, event)


class Rollout:
    """One update for all nodes that this gateway hears."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.nodes: dict[int, NodeProgress] = {}  # by device; only devices whose frames opened
        self.updated = 0
        self.failures: Counter[str] = Counter()

    def row(self) -> dict[str, object]:
        """How far it has come, for JSON."""
        return {
            "version": self.update.version,
            "updated": self.updated,
            "failures": dict(self.failures),
            "devices": {
                str(device): {
                    "state": node.state,
                    "version": node.version,
                    "percent": node.percent,
                    "attempts": node.attempts,
                    "why": node.why,
                }
                for device, node in self.nodes.items()
            },
        }

    def note_version(self, device: int, version: int) -> bool:
        """Notes which version a node runs; True when that is the update's, or a later one."""
        node = self.nodes.setdefault(device, NodeProgress())
        before, state, attempts = node.version, node.state, node.attempts
        node.version = version
        if version < self.update.version:
            node.step(Event.REPORTED_OLDER)
            if state is UpdateState.CURRENT:
                self.nodes[device] = NodeProgress(version)  # flashed anew: its attempts are counted anew
            return False
        node.step(Event.REPORTED_CURRENT)
        if attempts and state is not UpdateState.CURRENT:
            self.updated += 1
            _log.info("device updated", extra=fields(device=device, before=before, version=version))
        self.nodes[device] = NodeProgress(version, node.state, percent=100)
        return True

    def begin(self, device: int, status: NodeStatus, now: float) -> Attempt | None:
        """A new attempt for a node that runs an older version; None when it is not to get one now."""
        node = self.nodes[device]
        if why := self._impossible(status):
            node.step(Event.CANNOT_BE_UPDATED)
            node.why, node.attempt = why, None
            return None
        if status.update or not status.room or now < node.not_before or node.attempts >= MAX_ATTEMPTS:
            return None
        node.step(Event.ATTEMPT_BEGAN)
        node.attempt = Attempt(device)
        node.attempts += 1
        node.percent, node.why = 0, ""
        about = fields(device=device, version=self.update.version, attempt=node.attempts)
        _log.info("update begins", extra=about)
        return node.attempt

    def newest(self, attempt: Attempt) -> bool:
        """Whether the node has begun no other attempt since, and is not up to date by other means."""
        return self.nodes[attempt.device].attempt is attempt

    def progress(self, attempt: Attempt) -> None:
        """Notes how far an attempt has come, once more bytes were taken or sent."""
        node, size = self.nodes[attempt.device], len(self.update.stream)
        node.percent = 100 * attempt.taken // size
        if attempt.sent == size and node.state is UpdateState.UPDATING:
            node.step(Event.ALL_WRITTEN)

    def fail(self, attempt: Attempt, why: str, now: float) -> None:
        """An attempt came to nothing. The node gets another after a while, a bounded number of times."""
        node = self.nodes[attempt.device]
        last = node.attempts >= MAX_ATTEMPTS
        node.step(Event.LAST_ATTEMPT_FAILED if last else Event.ATTEMPT_FAILED)
        node.attempt = None
        self.failures[why] += 1
        node.why, node.percent = why, 0
        node.not_before = now + node.backoff.next()
        _log.warning("update failed", extra=fields(device=attempt.device, why=why, attempt=node.attempts))

    def _impossible(self, status: NodeStatus) -> str:
        """Why no attempt with this node could succeed; empty where one could."""
        if status.room is None:
            return _TOO_OLD
        if status.update is None:
            return _NO_KEY
        return _TAKEN_BACK if status.failed >= self.update.version else ""
