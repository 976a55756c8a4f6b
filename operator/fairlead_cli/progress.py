"""Tells a person what happens, and what is being waited for, once it takes longer than two seconds.

On a terminal the wait is one line, written over and over; elsewhere a line now and then. Time comes from outside.
"""

from __future__ import annotations

import contextlib
from typing import TextIO

FIRST_S = 2.0
_TERMINAL_S = 1.0
_LINES_S = 5.0


class Voice:
    """Lines for a person who may go away: a closed terminal or pipe must not keep the parts from being ended."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.terminal = out.isatty()

    def say(self, line: str) -> None:
        """One line."""
        self.write(line + "\n")

    def write(self, text: str) -> None:
        """The text as it is, at once."""
        with contextlib.suppress(OSError):
            self._out.write(text)
            self._out.flush()


class Progress:
    """One wait. Call `tick` often, `done` at its end."""

    def __init__(self, what: str, voice: Voice) -> None:
        self._what = what
        self._voice = voice
        self._next_s = FIRST_S

    def tick(self, passed_s: float) -> None:
        """Says so when it is time to."""
        if passed_s < self._next_s:
            return
        self._next_s = passed_s + (_TERMINAL_S if self._voice.terminal else _LINES_S)
        line = f"  ... {self._what}: {passed_s:.0f} s"
        self._voice.write(f"\r\x1b[K{line}" if self._voice.terminal else line + "\n")

    def done(self) -> None:
        """Leaves a clean line."""
        if self._voice.terminal and self._next_s > FIRST_S:
            self._voice.write("\r\x1b[K")
