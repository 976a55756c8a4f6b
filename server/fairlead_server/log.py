"""Structured logs: one JSON line an event, one write a line, on standard error.

Each line carries who wrote it (replica, boot, worker), so that the lines of a replica's processes can be
mixed in one stream and told apart. This module knows nothing of what it is told, and never raises.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import msgspec

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_who: dict[str, str] = {}
_least = LEVELS["info"]
_fd = 2


def configure(level: str, **who: str) -> None:
    """Set the least level and who speaks, for this process. Empty names are left out."""
    global _least
    _least = LEVELS.get(level, LEVELS["info"])
    _who.clear()
    _who.update({key: value for key, value in who.items() if value})


def debug(event: str, **fields: Any) -> None:
    _write("debug", event, fields)


def info(event: str, **fields: Any) -> None:
    _write("info", event, fields)


def warning(event: str, **fields: Any) -> None:
    _write("warning", event, fields)


def error(event: str, **fields: Any) -> None:
    _write("error", event, fields)


def line(level: str, event: str, fields: dict[str, Any], now: float) -> bytes:
    """One event as its line, newline included. What JSON cannot hold is told by its repr."""
    record = {"ts": round(now, 6), "level": level, "event": event, **_who, **fields}
    return msgspec.json.encode(record, enc_hook=repr) + b"\n"


def take_over_logging() -> None:
    """Send the libraries' own warnings through here, so that every line on the stream is one of ours."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(logging.WARNING)]


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["cause"] = repr(record.exc_info[1])
        _write("error" if record.levelno >= logging.ERROR else "warning", "library", fields)


def _write(level: str, event: str, fields: dict[str, Any]) -> None:
    if LEVELS[level] < _least:
        return
    try:
        os.write(_fd, line(level, event, fields, time.time()))
    except (OSError, TypeError, ValueError, msgspec.MsgspecError):
        return  # a reader of logs that is gone must not stop the server
