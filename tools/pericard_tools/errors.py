"""The tools' own errors; see pericard_protocol.errors."""

from pericard_protocol.errors import PeerError, UsageError


class BoardError(PeerError):
    """A board, real or virtual, did not answer or not as MicroPython does."""

    reason = "board"


class NoSuchBoard(UsageError):
    """What the operator named, a board, a port, a file or a number, is not there or can be of no use."""
