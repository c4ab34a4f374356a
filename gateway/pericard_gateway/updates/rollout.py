"""Brings nodes to a firmware update: which, when, and how much of it now. No I/O; times are passed in.

A node says in its sealed status frames which version it runs, how many bytes of an update it has taken, and
for how many more it has room; so no more is ever under way than fits into its buffer. It is updated when a
later status frame has the update's version. What a node says is authentic, and may be a lie: it decides
about the update of that node only.
"""

import enum
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import jiter

from pericard_edge.jsonlog import fields
from pericard_gateway.backoff import Backoff
from pericard_protocol.device.update import MAX_VERSION, Update

# A failed attempt is repeated when the node next reports after the wait: ten attempts take about an hour.
MAX_ATTEMPTS = 10
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 1800.0
# More than a port's own buffer takes at once (4,096 bytes on Linux), whatever room a node claims to have.
MAX_ROOM = 4096

_TOO_OLD = "its firmware knows of no gateway that updates it: `pericard update PORT`, once, by cable"
_TAKEN_BACK = "this update did not prove itself there, and the node took it back: sign a later one"
_NO_KEY = "it has no update key: provision it with --update-key"

_log = logging.getLogger("pericard.gateway")


class State(enum.StrEnum):
    """What a node of the rollout is."""

    CURRENT = "up to date"
    WAITING = "waiting"
    UPDATING = "updating"
    RESTARTING = "restarting"
    FAILED = "failed"


class Status(NamedTuple):
    """What matters here of a status frame's payload; `update` and `room` are None where it has none.

    `failed` is the version that the node has taken back, 0 where it says of none.
    """

    version: int
    update: int | None
    room: int | None
    failed: int = 0


def parse_status(payload: bytes) -> Status | None:
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
    return Status(version, taken, room, failed)


@dataclass
class Node:
    """One device's way to the update."""

    version: int = 0
    state: State = State.WAITING
    percent: int = 0
    attempts: int = 0
    why: str = ""
    not_before: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))


class Rollout:
    """One update for all nodes that this gateway hears."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.nodes: dict[int, Node] = {}  # by device; only devices whose frames opened
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

    def reached(self, device: int, version: int) -> bool:
        """Notes the version that a node runs; whether it needs no update."""
        node = self.nodes.setdefault(device, Node())
        before, node.version = node.version, version
        if version < self.update.version:
            if node.state is State.CURRENT:  # it was flashed anew
                self.nodes[device] = Node(version)
            return False
        if node.attempts and node.state is not State.CURRENT:
            self.updated += 1
            _log.info("device updated", extra=fields(device=device, before=before, version=version))
        self.nodes[device] = Node(version, State.CURRENT, 100)
        return True

    def begin(self, device: int, status: Status, now: float) -> bool:
        """Whether a node that needs the update is to get it now; it has then begun."""
        node = self.nodes[device]
        if status.room is None or status.update is None:
            node.state, node.why = State.FAILED, _TOO_OLD if status.room is None else _NO_KEY
            return False
        if status.failed >= self.update.version:
            node.state, node.why = State.FAILED, _TAKEN_BACK
            return False
        if status.update or not status.room or now < node.not_before or node.attempts >= MAX_ATTEMPTS:
            return False
        node.state, node.percent, node.why = State.UPDATING, 0, ""
        node.attempts += 1
        told = fields(device=device, version=self.update.version, attempt=node.attempts)
        _log.info("update begins", extra=told)
        return True

    def fail(self, device: int, why: str, now: float) -> None:
        """An attempt came to nothing; the node gets another after a while, a bounded number of times."""
        node = self.nodes[device]
        self.failures[why] += 1
        node.why, node.percent = why, 0
        node.not_before = now + node.backoff.next()
        node.state = State.WAITING if node.attempts < MAX_ATTEMPTS else State.FAILED
        _log.warning("update failed", extra=fields(device=device, why=why, attempt=node.attempts))


@dataclass
class _Attempt:
    device: int
    taken: int = 0
    sent: int = 0


class Course:
    """One port's part: at most one of its nodes is brought the update at a time."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._attempt: _Attempt | None = None

    def lost(self, why: str, now: float) -> None:
        """The link was lost, or the node is silent: no failure of one that restarts with the whole update."""
        if self._attempt is not None and self._rollout.nodes[self._attempt.device].state is State.UPDATING:
            self._end(why, now)
        self._attempt = None

    def heard(self, device: int, payload: bytes, now: float) -> bytes:
        """Takes a status frame's payload; returns what to write to the port now, often nothing."""
        status = parse_status(payload)
        if status is None:
            return b""
        current = self._rollout.reached(device, status.version)
        attempt = self._attempt
        if current:
            if attempt is not None and attempt.device == device:
                self._attempt = None
            return b""
        if attempt is not None:
            return self._go_on(attempt, status, now) if attempt.device == device else b""
        if not self._rollout.begin(device, status, now):
            return b""
        self._attempt = _Attempt(device)
        return self._give(self._attempt, status.room or 0)

    def _go_on(self, attempt: _Attempt, status: Status, now: float) -> bytes:
        if not status.update:
            if not status.room:
                self._end("the node has given up", now)
            elif attempt.taken:
                self._end("the node has started again", now)
            # Else it is a status from before our first bytes.
            return b""
        if status.update > attempt.sent:
            self._end("the node says that it took more than it was sent", now)
            return b""
        attempt.taken = max(attempt.taken, status.update)
        return self._give(attempt, status.room or 0)

    def _give(self, attempt: _Attempt, room: int) -> bytes:
        stream, node = self._rollout.update.stream, self._rollout.nodes[attempt.device]
        node.percent = 100 * attempt.taken // len(stream)
        data = stream[attempt.sent : attempt.taken + min(room, MAX_ROOM)]
        attempt.sent += len(data)
        if attempt.sent == len(stream):
            node.state = State.RESTARTING
        return data

    def _end(self, why: str, now: float) -> None:
        if self._attempt is not None:
            self._rollout.fail(self._attempt.device, why, now)
            self._attempt = None
