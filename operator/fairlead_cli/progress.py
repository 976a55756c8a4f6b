"""Tells a person what is being waited for, once it takes longer than two seconds.

On a terminal one line is written over and over; elsewhere a line now and then. Time comes from outside.
"""

from __future__ import annotations

from typing import TextIO

FIRST_S = 2.0
_TERMINAL_S = 1.0
_LINES_S = 5.0


class Progress:
    """One wait. Call `tick` often, `done` at its end."""

    def __init__(self, what: str, out: TextIO) -> None:
        self._what = what
        self._out = out
        self._terminal = out.isatty()
        self._next_s = FIRST_S

    def tick(self, passed_s: float) -> None:
        """Says so when it is time to."""
        if passed_s < self._next_s:
            return
        self._next_s = passed_s + (_TERMINAL_S if self._terminal else _LINES_S)
        line = f"  ... {self._what}: {passed_s:.0f} s"
        self._out.write(f"\r\x1b[K{line}" if self._terminal else line + "\n")
        self._out.flush()

    def done(self) -> None:
        """Leaves a clean line."""
        if self._terminal and self._next_s > FIRST_S:
            self._out.write("\r\x1b[K")
            self._out.flush()
