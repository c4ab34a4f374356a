"""A new key from the fields of a request."""

from pericard_kms.crypto.key_types import TYPES
from pericard_kms.engines.keys import Key
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields

_SHORTEST_ROTATION_S = 3600.0


def new_key(fields: Fields, name: str) -> Key:
    """A key without a version yet, and not stored.

    Raises:
        Invalid: an unknown type, or settings that do not fit it.
    """
    kind = TYPES.get(fields.text("type", "aes256-gcm96"))
    if kind is None:
        raise Invalid(f"unknown key type {fields.text('type')}: use one of {', '.join(TYPES)}")
    key = Key(
        name,
        kind,
        derived=fields.flag("derived"),
        convergent=fields.flag("convergent_encryption"),
        exportable=fields.flag("exportable"),
        allow_plaintext_backup=fields.flag("allow_plaintext_backup"),
        auto_rotate_period=rotation_period(fields),
    )
    if key.derived and not kind.derives:
        raise Invalid(f"key derivation is not supported for keys of type {kind.name}")
    if key.convergent and not key.derived:
        raise Invalid("convergent encryption requires derivation to be enabled")
    if key.convergent and kind.family != "aead":
        raise Invalid(f"convergent encryption is not supported for keys of type {kind.name}")
    return key


def rotation_period(fields: Fields, default: float = 0.0) -> float:
    """The period of automatic rotation in seconds, 0 for none.

    Raises:
        Invalid: shorter than an hour.
    """
    period = fields.seconds("auto_rotate_period", default)
    if 0 < period < _SHORTEST_ROTATION_S:
        raise Invalid("auto rotate period must be 0 to disable or at least an hour")
    return period
