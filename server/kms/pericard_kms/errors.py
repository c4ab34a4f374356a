"""The KMS's errors. Each that answers a request carries its HTTP status; its text is for the client.

Three kinds, as everywhere: the client's mistake or lie (`RequestError`, `Tampered`), the operator's mistake
(`Misused`), and what nobody did wrong and may work later (`Sealed`, `StorageFailed`).
"""

from pericard_protocol.errors import PeerError, PericardError, Unavailable, UsageError


class Answered(PericardError):
    """An error that is the answer to a request; `status` is the HTTP status that Vault's clients expect."""

    status: int = 400


class RequestError(Answered, PeerError):
    """A request that is not served because of what it asks or who asks it."""

    reason = "request"


class Invalid(RequestError):
    """A field is missing, malformed, too large or does not fit the key."""

    reason = "invalid"


class Denied(RequestError):
    """No token, an expired token, or no policy that allows this; deliberately says no more."""

    status = 403
    reason = "denied"

    def __init__(self, message: str = "permission denied") -> None:
        super().__init__(message)


class NotFound(RequestError):
    """Nothing is stored there. An empty message answers as Vault does: no errors listed."""

    status = 404
    reason = "not found"


class Unsupported(RequestError):
    """The path exists, this operation on it does not."""

    status = 405
    reason = "unsupported"

    def __init__(self, message: str = "unsupported operation") -> None:
        super().__init__(message)


class Sealed(Answered, Unavailable):
    """The KMS is sealed: until it is unsealed it answers status and unseal, nothing else."""

    status = 503

    def __init__(self, message: str = "Vault is sealed") -> None:
        super().__init__(message)


class StorageFailed(Answered, Unavailable):
    """The database did not take the write, or could not be read; nothing of the request was done."""

    status = 500


class Tampered(PeerError):
    """A stored value or an audit export is not what was written: moved, changed, dropped or rolled back."""

    reason = "tampered"


class Misused(UsageError):
    """The operator asked for what cannot be: wrong options, a wrong file, an order that does not exist."""
