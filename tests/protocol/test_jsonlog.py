"""The JSON log.

Invariants: one record is one line of JSON, whatever its text and finite numbers; only named fields are in it.
"""

import json
import logging
import sys

from hypothesis import given
from hypothesis import strategies as st

from pericard_edge.jsonlog import JsonFormatter, fields

values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
names = st.text("abcdefgh", min_size=1)


def _record(event: str, named: dict[str, object], *args: object) -> logging.LogRecord:
    return logging.getLogger("pericard.test").makeRecord(
        "pericard.test", logging.WARNING, "here.py", 1, event, args, None, extra=fields(**named)
    )


@given(st.text(), st.dictionaries(names, values, max_size=4))
def test_one_record_is_one_line_of_json(event: str, named: dict[str, object]) -> None:
    """A newline from a peer starts no line of its own."""
    line = JsonFormatter().format(_record(event, named))
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    assert found == named | {
        "time": found["time"],
        "level": "warning",
        "component": "pericard.test",
        "event": event,
    }


def test_what_json_cannot_hold_is_shown_as_text() -> None:
    found = json.loads(JsonFormatter().format(_record("x", {"raw": b"\x00", "kind": ValueError})))
    assert found["raw"] == "b'\\x00'"
    assert found["kind"] == "<class 'ValueError'>"


def test_an_exception_shows_its_message_and_not_the_values_around_it() -> None:
    def fail(planted: str) -> None:
        raise RuntimeError(f"failed after {len(planted)} characters")

    record = _record("stopped", {})
    try:
        fail("heart_rate_bpm 62")
    except RuntimeError:
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    assert json.loads(line)["error"] == "RuntimeError: failed after 17 characters"
    assert "heart_rate" not in line
    assert "Traceback" not in line
