"""Reads the fields of a request as Vault does, and writes base64 and times.

A number may come as a text ("5" for 5), as it does in a query; nothing else is converted.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

from pericard_kms.errors import Invalid

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")
# 100 years: far beyond any lease or rotation, and small enough that adding it to a date stays a date.
_LONGEST_S = 100 * 366 * 86400
MAX_BATCH = 10_000


def decode(value: Any, name: str) -> bytes:
    """Base64 (standard alphabet, padded) as bytes.

    Raises:
        Invalid: not a text, or not base64.
    """
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a base64 text")
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Invalid(f"failed to base64-decode {name}: give standard base64 with its padding") from None


def encode(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def duration(value: Any, name: str) -> float:
    """Seconds from 3600, "3600", "1h" or "1h30m".

    Raises:
        Invalid: not a duration, negative or beyond a hundred years.
    """
    if isinstance(value, bool) or value is None:
        raise Invalid(f"{name} must be a duration such as 3600 or 1h30m")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        parts = _DURATION.findall(str(value))
        if not value or "".join(number + unit for number, unit in parts) != value:
            raise Invalid(f"{name} must be a duration such as 3600 or 1h30m")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 <= seconds <= _LONGEST_S:
        raise Invalid(f"{name} must be between 0 and 100 years")
    return seconds


def rfc3339(time: float) -> str:
    """A Unix time as Vault shows times."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


class Fields:
    """The fields of one JSON object."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def __contains__(self, name: str) -> bool:
        return self.raw.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A text field; `default` when absent or null."""
        value = self.raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool | dict | list):
            raise Invalid(f"{name} must be a text")
        return str(value)

    def whole(self, name: str, default: int = 0) -> int:
        """An integer field."""
        value = self.raw.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Invalid(f"{name} must be a whole number")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        value = self.raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "1", "false", "0"):
            return value.lower() in ("true", "1")
        if value in (0, 1):
            return bool(value)
        raise Invalid(f"{name} must be true or false")

    def seconds(self, name: str, default: float = 0.0) -> float:
        """A duration field, in seconds."""
        value = self.raw.get(name)
        return default if value is None or value == "" else duration(value, name)

    def data(self, name: str) -> bytes:
        """A base64 field; b"" when absent."""
        value = self.raw.get(name)
        return b"" if value is None else decode(value, name)

    def names(self, name: str) -> list[str]:
        """A list of texts, or one text with commas."""
        value = self.raw.get(name)
        if value is None:
            return []
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise Invalid(f"{name} must be a list of texts")
        return [part.strip() for part in parts if part.strip()]

    def texts(self, name: str) -> dict[str, str]:
        """An object of texts."""
        value = self.raw.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
            raise Invalid(f"{name} must be an object of texts")
        return dict(value)

    def batch(self) -> list["Fields"] | None:
        """The items of `batch_input`, or None when the request is a single one.

        Raises:
            Invalid: not a list of objects, empty, or more than MAX_BATCH.
        """
        value = self.raw.get("batch_input")
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise Invalid("batch_input must be a list of objects")
        if not value:
            raise Invalid("missing batch input to process")
        if len(value) > MAX_BATCH:
            raise Invalid(f"batch_input has {len(value)} items; split it into batches of at most {MAX_BATCH}")
        return [Fields(item) for item in value]
