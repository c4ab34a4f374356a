"""How long to wait before the next attempt: doubling, jittered, bounded."""

import random


class Backoff:
    """Full jitter: a ward full of gateways must not return to a restarted server at the same instant."""

    def __init__(self, first: float, most: float) -> None:
        """Seconds: the bound of the first wait and of every wait."""
        self._first, self._most = first, most
        self._bound = first

    def next(self) -> float:
        """Seconds to wait now, between half the present bound and the bound, which then doubles."""
        # Spreads load, keeps no secret: an ordinary generator does.
        wait = self._bound * random.uniform(0.5, 1)  # noqa: S311
        self._bound = min(2 * self._bound, self._most)
        return wait

    def reset(self) -> None:
        """The last attempt went well."""
        self._bound = self._first
