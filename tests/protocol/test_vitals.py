"""The vitals payload. Invariant: any bytes give Vitals within the stated ranges, or VitalsError."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device.vitals import VitalsError, parse_vitals

GOOD = {"age": 71, "heart_rate_bpm": 62.5, "sensor_id": "bed-3", "timestamp": 1790000000}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
near_misses = st.fixed_dictionaries({}, optional={key: values for key in GOOD} | {"more": values})


def _within(payload: bytes) -> None:
    try:
        vitals = parse_vitals(payload)
    except VitalsError:
        return
    assert 0 <= vitals.age <= 130
    assert 10 <= vitals.heart_rate_bpm <= 300
    assert 0 <= vitals.timestamp <= 2**53
    assert 0 < len(vitals.sensor_id) <= 64
    assert vitals.sensor_id.isprintable()
    vitals.sensor_id.encode()


@given(st.binary(max_size=480) | near_misses.map(lambda found: json.dumps(found).encode()))
def test_any_bytes_are_vitals_or_refused(payload: bytes) -> None:
    _within(payload)


@given(near_misses)
def test_any_keys_beside_a_good_one(found: dict[str, object]) -> None:
    _within(json.dumps(GOOD | found).encode())


def test_the_four_keys_are_read_and_more_are_allowed() -> None:
    vitals = parse_vitals(json.dumps(GOOD | {"spo2": [97, {"low": None}]}).encode())
    assert vitals._asdict() == GOOD


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 480,
        b"[" * 100_000,
        b'{"a":' * 96,
        b'{"age":' + b"9" * 470 + b"}",
        json.dumps(GOOD | {"sensor_id": "\ud800"}).encode(),
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("utf-32-be"),
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD).encode().replace(b"bed-3", b"bed-\xff"),
        json.dumps(GOOD).encode().replace(b"bed-3", b"bed-\xed\xa0\x80"),
        json.dumps(GOOD).encode()[:-1] + b', "age": 71}',
        json.dumps(GOOD).encode()[:-1] + b', "more": {"x": 1, "x": 1}}',
        json.dumps(GOOD).encode()[:-1] + b', "more": NaN}',
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_what_is_not_a_json_object_in_utf_8_is_refused(payload: bytes) -> None:
    with pytest.raises(VitalsError):
        parse_vitals(payload)


@pytest.mark.parametrize("key", ["age", "heart_rate_bpm", "timestamp"])
@pytest.mark.parametrize(
    "value",
    [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"9" * 300, b"true", b'"71"', b"null", b"[71]"],
)
def test_a_value_that_is_no_such_number_is_refused(key: str, value: bytes) -> None:
    payload = json.dumps(GOOD | {key: "@"}).encode().replace(b'"@"', value)
    with pytest.raises(VitalsError):
        parse_vitals(payload)


@pytest.mark.parametrize("key", list(GOOD))
def test_a_missing_key_is_named(key: str) -> None:
    rest = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(VitalsError, match=key):
        parse_vitals(json.dumps(rest).encode())


@pytest.mark.parametrize("sensor", ["", "x" * 65, "a\nb", "\x1b[2J", "a\u2028b"])
def test_a_sensor_id_that_no_log_can_show_is_refused(sensor: str) -> None:
    """Not printable: control characters would reach an operator's terminal."""
    with pytest.raises(VitalsError, match="sensor_id"):
        parse_vitals(json.dumps(GOOD | {"sensor_id": sensor}).encode())


def test_an_error_never_shows_the_value() -> None:
    for key in GOOD:
        with pytest.raises(VitalsError) as caught:
            parse_vitals(json.dumps(GOOD | {key: [987654]}).encode())
        assert "987654" not in str(caught.value)
