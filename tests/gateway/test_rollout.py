"""What a node is given of an update: in order, never more than it has room for, a bounded number of times."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_gateway.updates.rollout import MAX_ATTEMPTS, MAX_ROOM, Course, Rollout, State, parse_status
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


@given(st.integers(1, MAX_ROOM))
def test_an_honest_node_gets_all_in_order_and_never_more_than_it_has_room_for(room: int) -> None:
    rollout = Rollout(UPDATE)
    course, got, taken = Course(rollout), b"", 0
    while taken < len(UPDATE.stream):
        got += course.heard(DEVICE, told(update=taken, room=room), 0.0)
        assert got == UPDATE.stream[: taken + room]
        taken += max(1, room // 2)
    assert got == UPDATE.stream
    assert rollout.nodes[DEVICE].state is State.RESTARTING
    assert course.heard(DEVICE, told(version=7), 1.0) == b""
    assert (rollout.nodes[DEVICE].state, rollout.updated) == (State.CURRENT, 1)


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
    course = Course(rollout)
    for now, (device, version, update, room) in enumerate(statuses):
        given = course.heard(device, told(version=version, update=update, room=room), float(now * 10_000))
        assert len(given) <= (room or 0)
        assert len(given) <= MAX_ROOM
        assert given in UPDATE.stream
    assert all(one.attempts <= MAX_ATTEMPTS for one in rollout.nodes.values())


def test_attempts_are_spaced_and_bounded() -> None:
    rollout = Rollout(UPDATE)
    course, now, begun = Course(rollout), 0.0, []
    while now < 7 * 86400:
        if course.heard(DEVICE, told(), now):
            begun.append(now)
            assert course.heard(DEVICE, told(room=0), now + 1) == b""  # it has given up
        now += 5
    assert len(begun) == MAX_ATTEMPTS
    waits = [after - before for before, after in pairwise(begun)]
    assert waits[0] < 30
    assert waits[-1] > 600
    assert rollout.nodes[DEVICE].state is State.FAILED
    assert rollout.failures == {"the node has given up": MAX_ATTEMPTS}


def test_one_node_of_a_port_at_a_time() -> None:
    rollout = Rollout(UPDATE)
    course = Course(rollout)
    assert course.heard(1, told(), 0.0) == UPDATE.stream[:256]
    assert course.heard(2, told(), 0.0) == b""
    course.lost("the node does not go on", 20.0)
    assert course.heard(2, told(), 20.0) == UPDATE.stream[:256]
    assert rollout.nodes[1].why == "the node does not go on"


def test_a_status_from_before_the_first_bytes_ends_nothing() -> None:
    course = Course(Rollout(UPDATE))
    course.heard(DEVICE, told(), 0.0)
    assert course.heard(DEVICE, told(), 0.1) == b""
    assert course.heard(DEVICE, told(update=128), 0.2) == UPDATE.stream[256:384]


def test_a_node_that_lost_what_it_had_is_given_it_again() -> None:
    rollout = Rollout(UPDATE)
    course = Course(rollout)
    course.heard(DEVICE, told(), 0.0)
    course.heard(DEVICE, told(update=200), 0.0)
    assert course.heard(DEVICE, told(), 1.0) == b""
    assert rollout.nodes[DEVICE].why == "the node has started again"
    assert course.heard(DEVICE, told(), 3600.0) == UPDATE.stream[:256]


def test_firmware_without_a_position_and_a_node_without_a_key_are_not_tried() -> None:
    rollout = Rollout(UPDATE)
    course = Course(rollout)
    assert course.heard(1, b'{"version": 0}', 0.0) == b""
    assert course.heard(2, told(update=None, room=0), 0.0) == b""
    assert "by cable" in rollout.nodes[1].why
    assert "--update-key" in rollout.nodes[2].why
    assert {one.state for one in rollout.nodes.values()} == {State.FAILED}


def test_a_node_that_took_the_update_back_is_not_given_it_again() -> None:
    rollout = Rollout(UPDATE)
    course = Course(rollout)
    assert course.heard(DEVICE, told(failed_version=7), 0.0) == b""
    node = rollout.nodes[DEVICE]
    assert (node.state, node.attempts) == (State.FAILED, 0)
    assert "took it back" in node.why
    assert course.heard(DEVICE + 1, told(failed_version=6), 0.0)  # an earlier one is forgiven
