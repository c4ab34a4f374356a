"""The invariant: the window accepts each (boot, seq) at most once, exactly as a plain model does."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_gateway.devices.window import WIDTH, Mark, ReplayWindow
from pericard_gateway.errors import DeviceError, Replayed, Stale

numbers = st.tuples(st.integers(0, 3), st.integers(0, 200))


def _fresh(window: ReplayWindow, boot: int, seq: int) -> bool:
    try:
        window.check(boot, seq)
    except DeviceError:
        return False
    window.accept(boot, seq)
    return True


@given(st.lists(numbers, max_size=300), st.integers(0, 300))
def test_it_agrees_with_a_list_of_all_that_was_accepted(
    arrivals: list[tuple[int, int]], restart: int
) -> None:
    window = ReplayWindow()
    accepted: list[tuple[int, int]] = []
    for count, (boot, seq) in enumerate(arrivals):
        if count == restart and accepted:
            window = ReplayWindow(window.mark(0))  # a restart between any two frames changes nothing
        newest = max(accepted, default=None)
        expected = newest is None or (
            boot > newest[0]
            or (boot == newest[0] and seq > newest[1] - WIDTH and (boot, seq) not in accepted)
        )
        assert _fresh(window, boot, seq) is expected
        if expected:
            accepted.append((boot, seq))
    assert len(set(accepted)) == len(accepted)


@given(numbers, numbers)
def test_checking_changes_nothing(first: tuple[int, int], second: tuple[int, int]) -> None:
    window = ReplayWindow()
    window.accept(*first)
    before = window.mark(0)
    with contextlib.suppress(DeviceError):
        window.check(*second)
    assert window.mark(0) == before


def test_each_refusal_says_why() -> None:
    window = ReplayWindow(Mark(epoch=0, boot=5, seq=100, seen=1))
    with pytest.raises(Replayed):
        window.check(5, 100)
    with pytest.raises(Stale, match="behind the window"):
        window.check(5, 100 - WIDTH)
    with pytest.raises(Stale):
        window.check(4, 1000)
    window.check(5, 100 - WIDTH + 1)
