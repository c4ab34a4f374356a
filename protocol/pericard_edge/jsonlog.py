"""One JSON object a log line: what every process of Pericard writes to stderr.

Only the fields that a caller names in `extra=fields(…)` are added: payloads and keys are never among
them, and exceptions are logged by type and message, not with the values in their frames.
"""

import json
import logging
from datetime import UTC, datetime

_FIELDS = "pericard_fields"


class JsonFormatter(logging.Formatter):
    """Formats a record as {"time", "level", "component", "event", …fields}."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": record.name,
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = f"{type(error).__name__}: {error}"
        return json.dumps(line, default=str)


def fields(**named: object) -> dict[str, object]:
    """What to pass as `extra` so that the line carries these fields."""
    return {_FIELDS: named}


def log_to_stderr(level: int = logging.INFO) -> None:
    """Makes the root logger write JSON lines to stderr; called once, by a command."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
