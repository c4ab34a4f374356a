"""What a node is given of an update: in order, never more than it has room for, a bounded number of times.

Its states are those of one table, and no step is taken that the table does not have.
"""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pericard_gateway.errors import IllegalStep
from pericard_gateway.updates.nodestatus import parse_status
from pericard_gateway.updates.rollout import MAX_ATTEMPTS, Rollout
from pericard_gateway.updates.state import Event, UpdateState, after
from pericard_gateway.updates.transfer import MAX_ROOM, UpdateTransfer
from pericard_protocol.device.update import Update

UPDATE = Update(7, bytes(range(256)) * 20)
DEVICE = 5


def told(**status: Any) -> bytes:
    return json.dumps({"version": 0, "update": 0, "room": 256} | status).encode()


@given(st.one_of(st.binary(max_size=100), st.recursive(st.integers() | st.none(), st.lists).map(json.dumps)))
def test_any_payload_is_a_status_or_none(payload: bytes | str) -> None:
    raw = payload.encode() if isinstance(payload, str) else payload
    assert parse_status(raw) is None


@pytest.mark.parametrize(
    "status", [{"version": True}, {"version": -1}, {"update": -1}, {"room": 1.5}, {"room": "9"}]
)
def test_a_status_of_another_form_is_none(status: dict[str, Any]) -> None:
    assert parse_status(told(**status)) is None


@settings(deadline=None)  # a room of one byte takes thousands of statuses
@given(st.integers(1, MAX_ROOM))
def test_an_honest_node_gets_all_in_order_and_never_more_than_it_has_room_for(room: int) -> None:
    rollout = Rollout(UPDATE)
    transfer, got, taken = UpdateTransfer(rollout), b"", 0
    while taken < len(UPDATE.stream):
        got += transfer.answer(DEVICE, told(update=taken, room=room), 0.0)
        assert got == UPDATE.stream[: taken + room]
        taken += max(1, room // 2)
    assert got == UPDATE.stream
    assert rollout.nodes[DEVICE].state is UpdateState.RESTARTING
    assert transfer.answer(DEVICE, told(version=7), 1.0) == b""
    assert (rollout.nodes[DEVICE].state, rollout.updated) == (UpdateState.CURRENT, 1)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2),
            st.integers(6, 8) | st.just(0),
            st.none() | st.integers(0, 6000),
            st.none() | st.integers(0, 9000),
        ),
        max_size=40,
    )
)
def test_whatever_nodes_say_what_is_given_is_bounded(
    statuses: list[tuple[int, int, int | None, int | None]],
) -> None:
    """At every status at most a port's room is given; and a device gets no more attempts than it may."""
    rollout = Rollout(UPDATE)
    transfer = UpdateTransfer(rollout)
    for now, (device, version, update, room) in enumerate(statuses):
        given = transfer.answer(device, told(version=version, update=update, room=room), float(now * 10_000))
        assert len(given) <= (room or 0)
        assert len(given) <= MAX_ROOM
        assert given in UPDATE.stream
    assert all(one.attempts <= MAX_ATTEMPTS for one in rollout.nodes.values())


@pytest.mark.slow
def test_attempts_are_spaced_and_bounded() -> None:
    rollout = Rollout(UPDATE)
    transfer, now, begun = UpdateTransfer(rollout), 0.0, []
    while now < 7 * 86400:
        if transfer.answer(DEVICE, told(), now):
            begun.append(now)
            assert transfer.answer(DEVICE, told(room=0), now + 1) == b""  # it has given up
        now += 5
    assert len(begun) == MAX_ATTEMPTS
    waits = [after - before for before, after in pairwise(begun)]
    assert waits[0] < 30
    assert waits[-1] > 600
    assert rollout.nodes[DEVICE].state is UpdateState.FAILED
    assert rollout.failures == {"the node has given up": MAX_ATTEMPTS}


def test_one_node_of_a_port_at_a_time() -> None:
    rollout = Rollout(UPDATE)
    transfer = UpdateTransfer(rollout)
    assert transfer.answer(1, told(), 0.0) == UPDATE.stream[:256]
    assert transfer.answer(2, told(), 0.0) == b""
    transfer.abandon("the node does not go on", 20.0)
    assert transfer.answer(2, told(), 20.0) == UPDATE.stream[:256]
    assert rollout.nodes[1].why == "the node does not go on"


def test_a_status_from_before_the_first_bytes_ends_nothing() -> None:
    transfer = UpdateTransfer(Rollout(UPDATE))
    transfer.answer(DEVICE, told(), 0.0)
    assert transfer.answer(DEVICE, told(), 0.1) == b""
    assert transfer.answer(DEVICE, told(update=128), 0.2) == UPDATE.stream[256:384]


def test_a_node_that_lost_what_it_had_is_given_it_again() -> None:
    rollout = Rollout(UPDATE)
    transfer = UpdateTransfer(rollout)
    transfer.answer(DEVICE, told(), 0.0)
    transfer.answer(DEVICE, told(update=200), 0.0)
    assert transfer.answer(DEVICE, told(), 1.0) == b""
    assert rollout.nodes[DEVICE].why == "the node has started again"
    assert transfer.answer(DEVICE, told(), 3600.0) == UPDATE.stream[:256]


def test_firmware_without_a_position_and_a_node_without_a_key_are_not_tried() -> None:
    rollout = Rollout(UPDATE)
    transfer = UpdateTransfer(rollout)
    assert transfer.answer(1, b'{"version": 0}', 0.0) == b""
    assert transfer.answer(2, told(update=None, room=0), 0.0) == b""
    assert "by cable" in rollout.nodes[1].why
    assert "--update-key" in rollout.nodes[2].why
    assert {one.state for one in rollout.nodes.values()} == {UpdateState.FAILED}


def test_a_node_that_took_the_update_back_is_not_given_it_again() -> None:
    rollout = Rollout(UPDATE)
    transfer = UpdateTransfer(rollout)
    assert transfer.answer(DEVICE, told(failed_version=7), 0.0) == b""
    node = rollout.nodes[DEVICE]
    assert (node.state, node.attempts) == (UpdateState.FAILED, 0)
    assert "took it back" in node.why
    assert transfer.answer(DEVICE + 1, told(failed_version=6), 0.0)  # an earlier one is forgiven


# Written down from what the operator is promised (gateway/README.md, "Updates"), not from the table.
LEGAL: dict[tuple[UpdateState, Event], UpdateState] = {
    # An attempt needs a beginning: nothing is written to, and nothing fails at, a node that is not updating.
    (UpdateState.WAITING, Event.ATTEMPT_BEGAN): UpdateState.UPDATING,
    (UpdateState.UPDATING, Event.ALL_WRITTEN): UpdateState.RESTARTING,
    # A failed attempt is repeated until the last.
    (UpdateState.UPDATING, Event.ATTEMPT_FAILED): UpdateState.WAITING,
    (UpdateState.RESTARTING, Event.ATTEMPT_FAILED): UpdateState.WAITING,
    (UpdateState.UPDATING, Event.LAST_ATTEMPT_FAILED): UpdateState.FAILED,
    (UpdateState.RESTARTING, Event.LAST_ATTEMPT_FAILED): UpdateState.FAILED,
    # A node that is heard anew may begin anew, or turn out to be one that cannot be updated; one whose
    # firmware was mended by cable leaves FAILED.
    (UpdateState.UPDATING, Event.ATTEMPT_BEGAN): UpdateState.UPDATING,
    (UpdateState.RESTARTING, Event.ATTEMPT_BEGAN): UpdateState.UPDATING,
    (UpdateState.FAILED, Event.ATTEMPT_BEGAN): UpdateState.UPDATING,
    **{
        (state, Event.CANNOT_BE_UPDATED): UpdateState.FAILED
        for state in UpdateState
        if state is not UpdateState.CURRENT
    },
    # Only what the node itself reports makes it up to date, and from every state; an older version changes
    # nothing but that.
    **{(state, Event.REPORTED_CURRENT): UpdateState.CURRENT for state in UpdateState},
    **{(state, Event.REPORTED_OLDER): state for state in UpdateState if state is not UpdateState.CURRENT},
    (UpdateState.CURRENT, Event.REPORTED_OLDER): UpdateState.WAITING,
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", UpdateState)
def test_each_step_is_the_one_promised_or_refused(state: UpdateState, event: Event) -> None:
    if (state, event) in LEGAL:
        assert after(state, event) is LEGAL[state, event]
    else:
        with pytest.raises(IllegalStep, match=f"{event.name} cannot happen to a node that is {state.name}"):
            after(state, event)


class Ports(RuleBasedStateMachine):
    """Nodes say whatever they like on two ports, which are lost now and then: no step is illegal.

    And at most one of the ports brings a node its update: the one on which it began last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rollout = Rollout(UPDATE)
        self.transfers = [UpdateTransfer(self.rollout), UpdateTransfer(self.rollout)]
        self.now = 0.0
        self.begun_on: dict[int, int] = {}

    @rule(
        port=st.integers(0, 1),
        device=st.integers(1, 2),
        version=st.sampled_from([0, 0, 0, 6, 7, 8]),
        update=st.none() | st.sampled_from([0, 256, 1000, len(UPDATE.stream)]),
        room=st.none() | st.sampled_from([0, 256, 9000]),
        failed=st.sampled_from([0, 0, 0, 6, 7]),
    )
    def say(
        self, port: int, device: int, version: int, update: int | None, room: int | None, failed: int
    ) -> None:
        node = self.rollout.nodes.get(device)
        attempts = node.attempts if node else 0
        payload = told(version=version, update=update, room=room, failed_version=failed)
        given = self.transfers[port].answer(device, payload, self.now)
        if self.rollout.nodes[device].attempts > attempts:
            self.begun_on[device] = port
        assert not given or self.begun_on[device] == port
        assert len(given) <= min(room or 0, MAX_ROOM)

    @rule(port=st.integers(0, 1))
    def lose(self, port: int) -> None:
        self.transfers[port].abandon("the link was lost", self.now)

    @rule(seconds=st.sampled_from([1.0, 60.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds


TestPorts = pytest.mark.slow(Ports.TestCase)
