"""The gateway's errors: what devices and the hospital may do to us, and what an operator got wrong."""

from typing import ClassVar

from pericard_protocol.errors import PeerError, Unavailable, UsageError
from pericard_protocol.uplink.bundle import BundleError


class DeviceError(PeerError):
    """A frame of the right form that this gateway does not accept."""

    reason: ClassVar[str] = "device"


class UnknownDevice(DeviceError):
    """The frame's device is not in the registry."""

    reason = "unknown device"


class RevokedDevice(DeviceError):
    """The frame's device was revoked."""

    reason = "revoked"


class EpochOutOfReach(DeviceError):
    """The frame's epoch is over, or too far ahead to derive."""

    reason = "epoch"


class Replayed(DeviceError):
    """The frame's (boot, seq) was accepted before."""

    reason = "replayed"


class Stale(DeviceError):
    """The frame is of an earlier boot, or too far behind to tell whether it was accepted before."""

    reason = "stale"


class UplinkError(PeerError):
    """The hospital's server broke the uplink's rules, or did not answer in time."""

    reason = "uplink"


class BadRenewal(UplinkError):
    """The hospital's server answered a renewal with a certificate that we cannot use."""

    reason = "certificate"


class BundleRollback(BundleError):
    """A genuine key bundle of the hospital's that is older than one seen before."""

    reason = "bundle rollback"


class EnrolmentFailed(UsageError):
    """This gateway could not be enrolled."""


class RegistryError(UsageError):
    """The device registry cannot be used."""


class SpoolError(UsageError):
    """The spool cannot be opened."""


class NoKeyBundle(Unavailable):
    """Nothing can be sealed: no valid key bundle of the hospital's is known."""


class IllegalStep(UsageError):
    """A mistake of ours: something happened to a node that cannot happen in the state that it is in."""


class NotRunning(UsageError):
    """No gateway runs with this configuration."""
