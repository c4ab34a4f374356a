"""The tools' own errors; see pericard_protocol.errors."""

from pericard_protocol.errors import PeerError, UsageError


class BoardError(PeerError):
    """A board, real or virtual, did not answer or not as MicroPython does."""

    reason = "board"


class BadArgument(UsageError):
    """What the operator named cannot be used: a port, a file or a number; the command exits with 2."""
