"""Plain tables for a terminal: columns as wide as their widest cell."""

from __future__ import annotations

import time
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The lines, the last one ended too. The last column is not padded."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (heads, *rows)
    ]
    return "\n".join(lines) + "\n"


def ago(since: float, now: float | None = None) -> str:
    """How long ago `since` (Unix time, seconds) was, in the largest unit that fits."""
    passed = max(0, int((time.time() if now is None else now) - since))
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * seconds:
            return f"{passed // seconds} {unit}"
    return f"{passed} s"
