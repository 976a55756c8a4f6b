"""The audit log: one JSON line a decision, on standard error, written in one go: who, what, why.

This module knows nothing of what it is told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import Any

import msgspec

_who = ""
_verbose = False


def configure(who: str, verbose: bool) -> None:
    """`who` stands in every line: the installation."""
    global _who, _verbose
    _who, _verbose = who, verbose
    root = logging.getLogger()
    root.handlers[:] = [_Handler(logging.WARNING)]


def debug(what: str, **fields: Any) -> None:
    if _verbose:
        _write("debug", what, fields)


def info(what: str, **fields: Any) -> None:
    _write("info", what, fields)


def warning(what: str, **fields: Any) -> None:
    _write("warning", what, fields)


class _Handler(logging.Handler):
    """The libraries' own warnings, so that every line on the stream is one of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        _write("warning", "library", {"logger": record.name, "why": record.getMessage()})


def _write(level: str, what: str, fields: dict[str, Any]) -> None:
    line = {"ts": round(time.time(), 3), "level": level, "who": f"operator/{_who}", "what": what, **fields}
    with contextlib.suppress(OSError, ValueError):  # a reader of logs that is gone stops nothing
        os.write(2, msgspec.json.encode(line, enc_hook=repr) + b"\n")
