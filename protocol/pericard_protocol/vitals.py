"""The vitals payload: the JSON object that a device seals. Checks it; never changes its bytes."""

import json
from typing import NamedTuple, NoReturn

from pericard_protocol.errors import PeerError

# Outside these a value is a fault of the sensor, not of the patient: what a clinician would never believe.
AGE_YEARS = (0, 130)
HEART_RATE_BPM = (10, 400)
MAX_SENSOR_ID_CHARACTERS = 64


class VitalsError(PeerError):
    """An authentic payload that is not the vitals object; the message names the key, never the value."""

    reason = "payload"


class Vitals(NamedTuple):
    """The four agreed keys. `timestamp` is in Unix seconds, by the device's clock."""

    age: float
    heart_rate_bpm: float
    sensor_id: str
    timestamp: float


def parse_vitals(payload: bytes) -> Vitals:
    """The vitals in `payload`; further keys are allowed and ignored here.

    Raises:
        VitalsError: not a JSON object (RFC 8259: UTF-8, no NaN), a key repeated, missing or out of range.
    """
    try:
        # Decoded here: json.loads guesses UTF-16 and UTF-32 from bytes and lets surrogates through.
        found = json.loads(payload.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise VitalsError("the payload is not JSON") from None
    if not isinstance(found, dict):
        raise VitalsError("the payload is not a JSON object")
    sensor = found.get("sensor_id")
    if (
        not isinstance(sensor, str)
        or not 0 < len(sensor) <= MAX_SENSOR_ID_CHARACTERS
        or not sensor.isprintable()
    ):
        raise VitalsError(f"sensor_id must be a text of 1 to {MAX_SENSOR_ID_CHARACTERS} printable characters")
    return Vitals(
        _number(found, "age", *AGE_YEARS),
        _number(found, "heart_rate_bpm", *HEART_RATE_BPM),
        sensor,
        _number(found, "timestamp", 0, 2**53),
    )


def _number(found: dict[str, object], key: str, least: float, most: float) -> float:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise VitalsError(f"{key} must be a number")
    if not least <= value <= most:
        raise VitalsError(f"{key} is outside {least} to {most}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
