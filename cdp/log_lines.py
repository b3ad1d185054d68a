"""Log lines: one JSON object each, with the facts that the code gives as `extra`.

No line holds an address or content: messages are constant, and of an error only its kind and its
frames are told, since the text of an error may quote what it failed on.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
LOGGERS: Final = ("cdp", "deployments")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, *, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": self._component,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = traceback.format_tb(record.exc_info[2])
        return json.dumps(line, default=str)


def log_to_stderr(component: str) -> None:
    """Let our loggers write JSON lines; Ray keeps a worker's standard error in its log folder."""
    # Not `sys.stderr`: Ray Serve has put its own logger there, whose level swallows every line.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonLines(component=component))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
