"""The hospital's own errors; each says what was wrong and what to do."""

from pericard_protocol.errors import PeerError, Unavailable, UsageError


class UnknownGateway(PeerError):
    """A certificate of no registered gateway, or of one that was revoked."""

    reason = "unknown gateway"


class UnknownSession(PeerError):
    """A record whose session was refused, or was never announced on its stream."""

    reason = "unknown session"


class EmptyMessage(PeerError):
    """A message that is neither a session header nor a record."""

    reason = "empty message"


class NoPrivateKey(PeerError):
    """A session sealed to a KEM key that the hospital does not hold, or has destroyed."""

    reason = "no private key"


class BadToken(PeerError):
    """An enrolment with a token that is unknown, over or used."""

    reason = "token"


class TamperedRow(PeerError):
    """A stored row that does not open: its payload, or a clear column bound to it, was changed."""

    reason = "tampered row"


class KeyFileError(UsageError):
    """A key file does not hold what it should."""


class AuthorityError(UsageError):
    """The certificate authority for gateways cannot be used."""


class DatabaseUnusable(Unavailable):
    """The database does not take or give what it should now: a full disk, say."""


class NoSuchPatient(UsageError):
    """A pseudonym that is not registered."""
