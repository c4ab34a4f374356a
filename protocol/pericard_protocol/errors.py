"""The three kinds of error that cross Pericard's boundaries.

A peer that lied or sent junk is a `PeerError`; a mistake of our own caller or operator is a `UsageError`;
where nobody lied and the same call may work later, it is `Unavailable`. Every message says what was
wrong and, where someone can act, what to do. None carries key material.
"""

from typing import ClassVar


class PericardError(Exception):
    """The root of every error that Pericard raises on purpose."""


class UsageError(PericardError):
    """We, or the operator, asked for what cannot be: a bad setting, a wrong length, a wrong order."""


class Unavailable(PericardError):
    """Something that is needed cannot be had now: nobody lied, nothing was lost, try later."""


class PeerError(PericardError):
    """What came from outside is malformed, forged, stale or not allowed.

    `reason` is a few fixed words for counters, metrics and acknowledgements, another for each class:
    docs/reasons.md lists them all. The message is for a person.
    """

    reason: ClassVar[str]
