"""The vitals payload: the JSON object that a device seals. Checks it; never changes its bytes."""

from typing import Any, NamedTuple

import jiter

from pericard_protocol.errors import PeerError

# No living patient has a value outside these ranges: it is a fault of the sensor.
AGE_YEARS = (0, 130)
HEART_RATE_BPM = (10, 300)
MAX_SENSOR_ID_CHARACTERS = 64
_EXACT_SECONDS = (0, 2**53)  # up to here a double holds every whole number
_NUMBERS = (int, float)


class VitalsError(PeerError):
    """An authentic payload that is not the vitals object; the message names the key, never the value."""

    reason = "vitals"


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
        # json.loads would also accept UTF-16, UTF-32, lone surrogates and repeated keys. With a repeated key,
        # one reader of the payload could take the first value and another the last. jiter refuses all of
        # these, and is faster.
        found = jiter.from_json(payload, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError:
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
        _number(found, "age", AGE_YEARS),
        _number(found, "heart_rate_bpm", HEART_RATE_BPM),
        sensor,
        _number(found, "timestamp", _EXACT_SECONDS),
    )


def _number(found: dict[str, object], key: str, bounds: tuple[int, int]) -> float:
    value: Any = found.get(key)
    if type(value) not in _NUMBERS:  # isinstance would also let a bool pass as an int
        raise VitalsError(f"{key} must be a number")
    if not bounds[0] <= value <= bounds[1]:
        raise VitalsError(f"{key} is outside {bounds[0]} to {bounds[1]}")
    return value  # type: ignore[no-any-return]
