"""What can go wrong in a blind analysis, on our side and on the cloud's."""

from pericard_protocol.errors import PeerError, Unavailable, UsageError


class WrongResult(PeerError):
    """What the cloud returned does not decrypt to the result; no value of it is used or shown."""

    reason = "wrong result"


class CloudMisbehaved(PeerError):
    """The cloud refused our call, or answered what the protocol does not know."""

    reason = "cloud"


class CloudUnavailable(Unavailable):
    """The cloud cannot be reached, or did not answer in time: try again later."""


class KeyNotAtCloud(CloudUnavailable):
    """The cloud does not hold our evaluation key: it never got it, or restarted since. Send it first."""


class PackingFault(UsageError):
    """The cloud's sums are right, yet a patient's statistics are not: our own packing is wrong."""


class UnusableReadings(UsageError):
    """The readings cannot be encoded: not numbers, or outside the encoding's range."""
