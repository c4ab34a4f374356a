"""What cannot become a model, and why. All are mistakes of the operator's, who can mend them."""

from pericard_protocol.errors import UsageError


class BadData(UsageError):
    """A file of training data is not what it should be; the message names the row and the column."""


class BadModelFile(UsageError):
    """A model made elsewhere is malformed, too large, or of a kind that the scheme cannot evaluate."""


class CannotTrain(UsageError):
    """The data and the options that were asked for do not make a model."""
