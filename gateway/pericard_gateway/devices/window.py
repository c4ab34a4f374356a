"""The replay window of one device: which (boot, seq) may still come. Pure.

Boots never go back; within a boot a frame may be at most 63 behind the highest seen (RFC 4303, section 3.4.3,
has the same window for the same purpose).
"""

from typing import NamedTuple

from pericard_gateway.errors import Replayed, Stale

WIDTH = 64
_MASK = (1 << WIDTH) - 1


class Mark(NamedTuple):
    """How far a device has come; what must survive a restart for no frame to be accepted twice.

    Bit i of `seen` is set when seq - i was accepted in `boot`; bit 0 is always set.
    """

    epoch: int
    boot: int
    seq: int
    seen: int


class ReplayWindow:
    """`check` before a frame is opened, `accept` once it proved authentic."""

    __slots__ = ("_boot", "_seen", "_seq")

    def __init__(self, mark: Mark | None = None) -> None:
        """Continues from `mark`; without one, the first frame of any boot is fresh."""
        self._boot, self._seq, self._seen = (mark.boot, mark.seq, mark.seen) if mark else (-1, -1, 0)

    def check(self, boot: int, seq: int) -> None:
        """Refuses what is not fresh; changes nothing.

        Raises:
            Stale: an earlier boot, or behind the window.
            Replayed: accepted before.
        """
        if boot > self._boot or (boot == self._boot and seq > self._seq):
            return
        behind = self._seq - seq
        if boot < self._boot or behind >= WIDTH:
            raise Stale(f"(boot {boot}, seq {seq}) is behind the window at ({self._boot}, {self._seq})")
        if self._seen >> behind & 1:
            raise Replayed(f"(boot {boot}, seq {seq}) was accepted before")

    def accept(self, boot: int, seq: int) -> None:
        """Moves the window. Only for a (boot, seq) that `check` let pass and whose frame is authentic."""
        if boot != self._boot:
            self._boot, self._seq, self._seen = boot, seq, 1
        elif seq > self._seq:
            self._seen = (self._seen << (seq - self._seq) | 1) & _MASK if seq - self._seq < WIDTH else 1
            self._seq = seq
        else:
            self._seen |= 1 << (self._seq - seq)

    def mark(self, epoch: int) -> Mark:
        """What to persist, together with the epoch that the device has reached."""
        return Mark(epoch, self._boot, self._seq, self._seen)
