"""The tools' own errors; see pericard_protocol.errors."""

from pericard_protocol.errors import PeerError, UsageError


class BoardError(PeerError):
    """A board, real or virtual, did not answer or not as MicroPython does."""

    reason = "board"


class NoSuchBoard(UsageError):
    """A board, port or file that the operator named is not there."""
