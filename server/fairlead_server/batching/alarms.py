"""Named wake-ups of which only the earliest counts: one timer each, however many requests ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarms:
    """Times are the clock's seconds; the loop's own clock may be coarser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._set: dict[str, tuple[float, asyncio.TimerHandle]] = {}

    def at(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Call `action` at `when`, unless this name rings earlier anyway; the action asks again for what is left."""
        known = self._set.get(name)
        if known is not None:
            if known[0] <= when:
                return
            known[1].cancel()
        handle = self._loop.call_later(max(when - self._clock(), 0.0), self._ring, name, action)
        self._set[name] = (when, handle)

    def clear(self) -> None:
        for _, handle in self._set.values():
            handle.cancel()
        self._set.clear()

    def _ring(self, name: str, action: Callable[[], None]) -> None:
        del self._set[name]
        action()
