"""What can go wrong in the kit."""

from typing import ClassVar

from pericard_protocol.errors import PeerError, Unavailable, UsageError


class BadFeatures(UsageError):
    """A table of features is not what the model takes; the message names row and column."""


class KeyTrouble(UsageError):
    """A key is not there, is there already, or does not serve the model."""


class WrongPassphrase(UsageError):
    """A key does not open: the passphrase is another, or the file was changed."""


class BadExport(PeerError):
    """A file is no key export, or asks for a derivation that is too cheap or too dear."""

    reason: ClassVar[str] = "key export"


class PortalRefused(UsageError):
    """The portal does not do what was asked, and said why."""


class PortalUnreachable(Unavailable):
    """The portal does not answer, or answers that it cannot serve now."""


class BadPortalAnswer(PeerError):
    """The portal's answer is not of its API."""

    reason: ClassVar[str] = "portal answer"
