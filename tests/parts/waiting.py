"""Waits for what another process or a board does, which no event of ours can tell."""

import time
from collections.abc import Callable


def until(
    met: Callable[[], object], explain: Callable[[], object] = lambda: "it does not come", seconds: float = 60
) -> None:
    """Returns once `met` gives something true. The bound is for what never comes; `explain` then says why."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.01)
