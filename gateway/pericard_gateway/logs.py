"""Structured logs: one JSON object a line on stderr. A message is a fixed text; what varies stands in fields.

Nothing here can tell a payload or a key from other bytes: callers never pass one.
"""

import datetime
import json
import logging
import sys
import traceback
from collections.abc import Mapping


class JsonLines(logging.Formatter):
    """Formats `log.info("port opened", {"port": path})` as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "event": record.msg if isinstance(record.args, Mapping) else record.getMessage(),
        }
        if isinstance(record.args, Mapping):
            line.update(record.args)
        if record.exc_info and record.exc_info[1] is not None:
            # Where it went wrong and of what kind; the exception's own text may quote what it choked on.
            error = record.exc_info[1]
            line["error"] = type(error).__name__
            line["at"] = [
                f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
            ]
        return json.dumps(line, default=str)


def start(level: int = logging.INFO) -> None:
    """Sends this process's logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
