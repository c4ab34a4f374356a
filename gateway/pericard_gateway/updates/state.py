"""Every state of a node on its way to an update, and every step between two of them, in one table. Pure.

`after` refuses a step that the table does not have: such a step is a mistake of ours, never a node's.
"""

import enum

from pericard_gateway.errors import IllegalStep


class State(enum.StrEnum):
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


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.WAITING: {
        Event.REPORTED_OLDER: State.WAITING,
        Event.REPORTED_CURRENT: State.CURRENT,
        Event.CANNOT_BE_UPDATED: State.FAILED,
        Event.ATTEMPT_BEGAN: State.UPDATING,
    },
    # A node that was carried to another port, or lost its power, is heard anew while its attempt still
    # stands: an attempt may begin, or prove impossible, in the states UPDATING and RESTARTING too.
    State.UPDATING: {
        Event.REPORTED_OLDER: State.UPDATING,
        Event.REPORTED_CURRENT: State.CURRENT,
        Event.CANNOT_BE_UPDATED: State.FAILED,
        Event.ATTEMPT_BEGAN: State.UPDATING,
        Event.ALL_WRITTEN: State.RESTARTING,
        Event.ATTEMPT_FAILED: State.WAITING,
        Event.LAST_ATTEMPT_FAILED: State.FAILED,
    },
    State.RESTARTING: {
        Event.REPORTED_OLDER: State.RESTARTING,
        Event.REPORTED_CURRENT: State.CURRENT,
        Event.CANNOT_BE_UPDATED: State.FAILED,
        Event.ATTEMPT_BEGAN: State.UPDATING,
        Event.ATTEMPT_FAILED: State.WAITING,
        Event.LAST_ATTEMPT_FAILED: State.FAILED,
    },
    State.CURRENT: {
        Event.REPORTED_OLDER: State.WAITING,  # it was flashed anew
        Event.REPORTED_CURRENT: State.CURRENT,
    },
    State.FAILED: {
        Event.REPORTED_OLDER: State.FAILED,
        Event.REPORTED_CURRENT: State.CURRENT,
        Event.CANNOT_BE_UPDATED: State.FAILED,
        Event.ATTEMPT_BEGAN: State.UPDATING,  # what made it impossible was mended, by a cable for one
    },
}


def after(state: State, event: Event) -> State:
    """The state of a node that was in `state` when `event` happened.

    Raises:
        IllegalStep: it cannot happen there.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalStep(f"{event.name} cannot happen to a node that is {state.name}") from None
