"""What the cloud refuses, each with the word under which it is counted."""

from typing import ClassVar

from pericard_protocol.errors import PeerError


class MalformedMessage(PeerError):
    """The bytes of a message are not what the protocol says."""

    reason: ClassVar[str] = "malformed"


class BrokenSequence(PeerError):
    """The parts of a call came in the wrong order, too many or too few."""

    reason: ClassVar[str] = "sequence"


class NoSuchKey(PeerError):
    """The job names a key that this client never sent, or that was dropped since."""

    reason: ClassVar[str] = "unknown key"


class UnboundedCall(PeerError):
    """The call has no deadline, or one too far away."""

    reason: ClassVar[str] = "deadline"
