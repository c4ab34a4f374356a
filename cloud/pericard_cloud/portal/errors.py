"""What the portal refuses, each with the word under which it is counted and the status of its answer."""

from http import HTTPStatus
from typing import ClassVar

from pericard_protocol.errors import PeerError


class Refused(PeerError):
    """A request of a user that is not done; the message is for them."""

    reason: ClassVar[str] = "refused"
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST


class NotLoggedIn(Refused):
    """There is no session, or the token is none of ours."""

    reason = "not logged in"
    status = HTTPStatus.UNAUTHORIZED


class NotYours(Refused):
    """There is no such thing of this user's: whether somebody else has it is not told."""

    reason = "not there"
    status = HTTPStatus.NOT_FOUND


class NoLength(Refused):
    """An upload that does not say how long it is."""

    reason = "no length"
    status = HTTPStatus.LENGTH_REQUIRED


class TooLarge(Refused):
    """An upload that says, or shows, that it is longer than anything that is taken."""

    reason = "too large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class CutOff(Refused):
    """An upload that ended before the length that it had said."""

    reason = "cut off"


class WrongField(Refused):
    """A parameter of the request is missing or not of its form."""

    reason = "field"


class KeysKnown(Refused):
    """These keys are here already."""

    reason = "keys known"
    status = HTTPStatus.CONFLICT


class TooManyKeys(Refused):
    """The user has as many keys as one may have."""

    reason = "too many keys"
    status = HTTPStatus.CONFLICT


class TooManyRows(Refused):
    """A query with more rows than one may have."""

    reason = "too many rows"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class QueueFull(Refused):
    """The user has as many jobs waiting, or kept, as one may have."""

    reason = "queue full"
    status = HTTPStatus.TOO_MANY_REQUESTS


class QuotaUsed(Refused):
    """The user's rows of today for this model do not reach for this query."""

    reason = "quota"
    status = HTTPStatus.TOO_MANY_REQUESTS


class WrongState(Refused):
    """What was asked cannot be done to a job in its state."""

    reason = "job state"
    status = HTTPStatus.CONFLICT
