"""One port's transfer of the update: which bytes its node gets now. No I/O; times are passed in.

A node says in its sealed status frames how many bytes of the update it has taken and for how many more it has
room, so no more is ever under way than its buffer holds. It has the update when a later status frame says so.
"""

from pericard_gateway.updates.nodestatus import NodeStatus, parse_status
from pericard_gateway.updates.rollout import Attempt, Rollout
from pericard_gateway.updates.state import UpdateState

# More than a port's own buffer takes at once (4,096 bytes on Linux), whatever room a node claims to have.
MAX_ROOM = 4096


class UpdateTransfer:
    """At most one of the port's nodes is brought the update at a time."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._attempt: Attempt | None = None

    def abandon(self, why: str, now: float) -> None:
        """Gives up what is under way: the link was lost, or the node is silent.

        For a node that has the whole update this is no failure: it restarts, and is silent meanwhile.
        """
        attempt = self._present_attempt()
        if attempt is not None and self._rollout.nodes[attempt.device].state is UpdateState.UPDATING:
            self._rollout.fail(attempt, why, now)
        self._attempt = None

    def answer(self, device: int, payload: bytes, now: float) -> bytes:
        """Takes a status frame's payload; returns what to write to the port now, often nothing."""
        status = parse_status(payload)
        if status is None or self._rollout.note_version(device, status.version):
            return b""
        attempt = self._present_attempt()
        if attempt is None:
            self._attempt = self._rollout.begin(device, status, now)
            return b"" if self._attempt is None else self._next_part(self._attempt, status)
        return self._continue(attempt, status, now) if attempt.device == device else b""

    def _present_attempt(self) -> Attempt | None:
        """This port's attempt, unless its node is up to date, or gets the update through another port."""
        if self._attempt is not None and not self._rollout.newest(self._attempt):
            self._attempt = None
        return self._attempt

    def _continue(self, attempt: Attempt, status: NodeStatus, now: float) -> bytes:
        taken = status.update or 0
        if taken > attempt.sent:
            return self._fail(attempt, "the node says that it took more than it was sent", now)
        if taken == 0:
            if not status.room:
                return self._fail(attempt, "the node has given up", now)
            if attempt.taken:
                return self._fail(attempt, "the node has started again", now)
            return b""  # a status from before our first bytes
        attempt.taken = max(attempt.taken, taken)
        return self._next_part(attempt, status)

    def _next_part(self, attempt: Attempt, status: NodeStatus) -> bytes:
        room = min(status.room or 0, MAX_ROOM)
        part = self._rollout.update.stream[attempt.sent : attempt.taken + room]
        attempt.sent += len(part)
        self._rollout.progress(attempt)
        return part

    def _fail(self, attempt: Attempt, why: str, now: float) -> bytes:
        self._rollout.fail(attempt, why, now)
        self._attempt = None
        return b""
