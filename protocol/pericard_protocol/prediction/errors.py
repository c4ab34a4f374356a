"""Why an object of the encrypted prediction is not taken."""

from typing import ClassVar

from pericard_protocol.errors import PeerError


class MalformedObject(PeerError):
    """Keys, a query or a reply are not what they claim: size, parameters, mode, a word that is no residue."""

    reason: ClassVar[str] = "prediction object"


class OtherKeys(PeerError):
    """An object was made with other keys than those named, or the keys do not serve the model."""

    reason: ClassVar[str] = "prediction keys"


class OtherModel(PeerError):
    """An object was made for another model, or for an earlier version of this one."""

    reason: ClassVar[str] = "prediction model"


class BadManifest(PeerError):
    """A model's manifest is malformed, contradicts itself, or was changed."""

    reason: ClassVar[str] = "prediction manifest"
