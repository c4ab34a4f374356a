"""What the gateway asks of a port, whatever carries it, and what a port asks of its reader."""

from typing import Protocol


class Reader(Protocol):
    """Takes the bytes of one port."""

    def connected(self) -> None:
        """The port was opened, perhaps again: the rest of a frame that was cut off will not come."""

    def take(self, data: bytes) -> None:
        """Takes the next bytes; must not wait, and must not raise whatever they are."""


class Port(Protocol):
    """A way to one or more devices, opened again by itself whenever it is lost."""

    @property
    def name(self) -> str:
        """What the configuration calls it: a path, an address."""

    @property
    def trouble(self) -> str:
        """Why nothing can be read now; empty while it is open."""

    async def run(self, reader: Reader) -> None:
        """Reads until cancelled. An absent device or a lost link is a state, not an error."""

    async def listening(self) -> None:
        """Returns when a device that sends from now on is heard, or when a first attempt to open failed."""

    async def write(self, data: bytes) -> None:
        """Writes to the device.

        Raises:
            Exception: the port is not open, or whatever its driver raises when it breaks.
        """

    def drain(self, reader: Reader) -> None:
        """After the end of `run`: gives the reader what had arrived by then, a bounded amount, and closes."""
