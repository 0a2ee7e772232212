"""Structured logs: one JSON object a line on stderr, made of what auctor itself says, never of what a request or an error carries.

A line holds the route's pattern (`/patients/{patient_id}`), not the address; a method, a status, a duration, an account's identifier; of an
error its type and the place in the code. So a patient's name, number, dose or level has no way in.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG = "auctor"


class Lines(logging.Formatter):
    """Formats a record as one JSON line. Only records of auctor's own logger show their fields; others (a library's) show their place."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": moment, "level": record.levelname, "logger": record.name}
        if record.name == LOG:
            line |= {"event": record.msg, **getattr(record, "fields", {})}
        else:
            line |= {"event": "library", "place": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[1]:
            line |= told(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def told(error: BaseException) -> dict[str, str]:
    """Of an error its type and where it was raised; never its text, which may quote what was entered."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return {"error": type(error).__name__, "place": place}


def event(name: str, *, level: int = logging.INFO, **fields: str | int | float | bool) -> None:
    """One line about something that happened. The fields are auctor's own words, identifiers and numbers."""
    logging.getLogger(LOG).log(level, name, extra={"fields": fields})


def start_logging(level: str) -> None:
    """Send every logger's lines to stderr as JSON; libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(LOG).setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"


class Stopwatch:
    """Seconds since it was made.

    >>> Stopwatch().seconds() >= 0
    True
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Elapsed, to a tenth of a millisecond."""
        return round(time.perf_counter() - self._start, 4)
