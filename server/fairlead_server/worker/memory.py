"""Gives memory back to the system: what the runtime's arena and malloc keep of what nobody uses any more.

Both keep what was freed, for the next one to ask: after one huge request, or a thousand unloaded models, for ever.
Measured: 1,000 small models leave 73 MB behind, a trim of malloc leaves 0.6 MB; a run of 60,000 rows leaves 640 MB,
then 164. Giving back costs little, but the next large run has to fault its pages in again: so it is done after versions
were closed, and where the process has grown far above what it held then.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import math
import time
from typing import Any

from fairlead_server import log
from fairlead_server.worker.process import resident_bytes

GROWN = 1.2  # of what it held after it had given back last ...
GROWN_BYTES = 64 * 2**20  # ... and so much more: then it may be worth a look
CLOSED_S = 0.5  # after the last of several closes
PAUSE_S = 20.0  # between two looks for growth; doubles while what was given back is soon taken again
PAUSE_MOST_S = 3600.0


def give_back() -> None:
    """Blocks for some milliseconds, and for a tenth of a second where it is much. Not on the loop."""
    from fairlead_server.runtimes import onnx

    onnx.give_back()
    _libc().malloc_trim(0)


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else _NoTrim()


class _NoTrim:
    """Another C library than glibc."""

    def malloc_trim(self, _pad: int) -> int:
        return 0


class Growth:
    """When to give back: a decision over the resident bytes as they are seen each second. Pure."""

    def __init__(self) -> None:
        self._level = 0
        self._closed_at: float | None = None
        self._not_before = -math.inf
        self._pause_s = PAUSE_S

    def closed(self, now: float) -> None:
        """A version was closed."""
        self._closed_at = now

    def opened(self, resident: int) -> None:
        """What a version takes is meant to stay."""
        self._level = max(self._level, resident)

    def due(self, resident: int, now: float) -> bool:
        if not self._level or resident < self._level:
            self._level = resident
        if self._closed_at is not None:
            return now >= self._closed_at + CLOSED_S
        return resident > GROWN * self._level + GROWN_BYTES and now >= self._not_before

    def given_back(self, resident: int, now: float) -> None:
        soon = now < self._not_before + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MOST_S) if soon and self._closed_at is None else PAUSE_S
        self._closed_at, self._level, self._not_before = None, resident, now + self._pause_s


class Memory:
    """The worker's. Made inside its loop."""

    def __init__(self) -> None:
        self.growth = Growth()
        self._giving: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Each second."""
        if (self._giving is None or self._giving.done()) and self.growth.due(resident_bytes(), time.monotonic()):
            self._giving = asyncio.ensure_future(self._give_back())

    async def _give_back(self) -> None:
        before = resident_bytes()
        await asyncio.to_thread(give_back)
        after = resident_bytes()
        self.growth.given_back(after, time.monotonic())
        log.debug("memory_given_back", before=before, after=after)
