"""Ctrl-C, SIGTERM and a closed terminal, counted instead of raised.

Whoever waits looks at the count, so that no signal breaks off the ending of the parts half-way.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from fairlead_cli.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Counts while the `with` block runs; the main thread's only."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises Interrupted once somebody wants an end."""
        if self.count:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
