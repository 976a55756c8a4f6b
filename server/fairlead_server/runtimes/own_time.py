"""How long work would have taken had its threads not waited for a core.

A version is tried below the traffic, so on a busy machine it waits for most of the time. A budget that counted this
would be spent by others, and a latency that held it would be wrong in every worker that is told of it later.
Linux says for how long each thread waited (schedstat); where nothing says so, nothing is taken off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

PATIENCE = 10.0  # times the budget that it may last on the clock
_FRESH_S = 0.005  # to ask costs some 50 us, and cools the caches of what is timed


def waited_s() -> float:
    """Seconds that the threads of this process were ready to run and did not, since they began."""
    total = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that has just ended
            total += int(task.read_text().split()[1])
    return total / 1e9


def own_s(took_s: float, worked_s: float, waited: float, threads: int) -> float:
    """Of `took_s` on the clock: less what was waited, where no two threads waited at once; but never less than the
    processor's work takes on so many threads."""
    return min(took_s, max(took_s - waited, worked_s / threads))


class OwnTime:
    """`clock` and `work` (processor time of the process) in seconds, `waited` as `waited_s`."""

    def __init__(
        self,
        clock: Callable[[], float],
        work: Callable[[], float],
        waited: Callable[[], float] = lambda: 0.0,
        threads: int = 1,
    ) -> None:
        self.clock = clock
        self.work = work
        self.waited = waited
        self.threads = threads

    def read(self) -> tuple[float, float, float]:
        return self.clock(), self.work(), self.waited()

    def since(self, begin: tuple[float, float, float]) -> float:
        """Own seconds since `begin` was read."""
        took, worked, waited = (now - then for now, then in zip(self.read(), begin, strict=True))
        return own_s(took, worked, waited, self.threads)


class Budget:
    """Of own time, and of `PATIENCE` times as much on the clock."""

    def __init__(self, seconds: float, time: OwnTime) -> None:
        self._time = time
        self._seconds = seconds
        self._begin = time.read()
        self._asked = self._begin[0]
        self._left = seconds

    def left(self) -> float:
        """Seconds; at most 0 when it is spent."""
        now = self._time.clock()
        if now - self._asked >= _FRESH_S:
            on_clock = PATIENCE * self._seconds - (now - self._begin[0])
            self._left = min(self._seconds - self._time.since(self._begin), on_clock)
            self._asked = now
        return self._left - (now - self._asked)
