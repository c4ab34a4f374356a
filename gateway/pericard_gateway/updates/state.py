"""Every state of a node on its way to an update, and every step between two of them, in one table. Pure.

`after` refuses a step that the table does not have: such a step is a mistake of ours, never a node's.
"""

import enum

from pericard_gateway.errors import IllegalStep


class UpdateState(enum.StrEnum):
    """Where a node is; the values are what `status` shows."""

    WAITING = "waiting"
    UPDATING = "updating"
    RESTARTING = "restarting"
    CURRENT = "up to date"
    FAILED = "failed"


class Event(enum.Enum):
    """What can happen to a node."""

    REPORTED_OLDER = enum.auto()  # a status frame with a version before the update's
    REPORTED_CURRENT = enum.auto()  # a status frame with the update's version, or a later one
    CANNOT_BE_UPDATED = enum.auto()  # its status says that no attempt could succeed
    ATTEMPT_BEGAN = enum.auto()  # it gets the update from the first byte on
    ALL_WRITTEN = enum.auto()  # it was given the update's last byte
    ATTEMPT_FAILED = enum.auto()  # it gets another one later
    LAST_ATTEMPT_FAILED = enum.auto()


TRANSITIONS: dict[UpdateState, dict[Event, UpdateState]] = {
    UpdateState.WAITING: {
        Event.REPORTED_OLDER: UpdateState.WAITING,
        Event.REPORTED_CURRENT: UpdateState.CURRENT,
        Event.CANNOT_BE_UPDATED: UpdateState.FAILED,
        Event.ATTEMPT_BEGAN: UpdateState.UPDATING,
    },
    # A node that was carried to another port, or lost its power, is heard anew while its attempt still
    # stands: an attempt may begin, or prove impossible, in the states UPDATING and RESTARTING too.
    UpdateState.UPDATING: {
        Event.REPORTED_OLDER: UpdateState.UPDATING,
        Event.REPORTED_CURRENT: UpdateState.CURRENT,
        Event.CANNOT_BE_UPDATED: UpdateState.FAILED,
        Event.ATTEMPT_BEGAN: UpdateState.UPDATING,
        Event.ALL_WRITTEN: UpdateState.RESTARTING,
        Event.ATTEMPT_FAILED: UpdateState.WAITING,
        Event.LAST_ATTEMPT_FAILED: UpdateState.FAILED,
    },
    UpdateState.RESTARTING: {
        Event.REPORTED_OLDER: UpdateState.RESTARTING,
        Event.REPORTED_CURRENT: UpdateState.CURRENT,
        Event.CANNOT_BE_UPDATED: UpdateState.FAILED,
        Event.ATTEMPT_BEGAN: UpdateState.UPDATING,
        Event.ATTEMPT_FAILED: UpdateState.WAITING,
        Event.LAST_ATTEMPT_FAILED: UpdateState.FAILED,
    },
    UpdateState.CURRENT: {
        Event.REPORTED_OLDER: UpdateState.WAITING,  # it was flashed anew
        Event.REPORTED_CURRENT: UpdateState.CURRENT,
    },
    UpdateState.FAILED: {
        Event.REPORTED_OLDER: UpdateState.FAILED,
        Event.REPORTED_CURRENT: UpdateState.CURRENT,
        Event.CANNOT_BE_UPDATED: UpdateState.FAILED,
        Event.ATTEMPT_BEGAN: UpdateState.UPDATING,  # what made it impossible was mended, by a cable for one
    },
}


def after(state: UpdateState, event: Event) -> UpdateState:
    """The state of a node that was in `state` when `event` happened.

    Raises:
        IllegalStep: it cannot happen there.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalStep(f"{event.name} cannot happen to a node that is {state.name}") from None
