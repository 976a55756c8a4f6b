"""The worker's threads for runs, and when one of them will be free.

Runs start in the order in which they were given, and a version has no more of them here than it has instances: so a
flood on one version holds up another for a run or two, not for its queue. All but the work itself belongs to the
loop's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Self

Work = Callable[[], None]


def free_at(ends: Iterable[float], threads: int, now: float) -> float:
    """When a run that is given now will start, if those before it end at `ends`."""
    waiting = sorted(ends)
    return now if len(waiting) < threads else max(now, waiting[len(waiting) - threads])


class RunThreads:
    """`began` is called first on each new thread. The threads end with the process, or after `close`."""

    def __init__(self, count: int, began: Work | None = None) -> None:
        self._count = count
        self._began = began
        self._given: SimpleQueue[Work | None] = SimpleQueue()
        self._ends: dict[object, float] = {}
        self._started = 0
        self._closed = False

    def submit(self, work: Work, token: object, now: float, seconds: float) -> float:
        """Run `work` soon; it must not raise. Until `ended(token)` it counts as taking so many seconds. When it is
        expected to end, in the clock's seconds. RuntimeError after `close`."""
        if self._closed:
            raise RuntimeError("the threads have been closed")
        end = self.free_at(now) + seconds
        self._ends[token] = end
        if self._started < min(len(self._ends), self._count):
            self._started += 1
            threading.Thread(target=self._serve, name=f"run-{self._started}", daemon=True).start()
        self._given.put(work)
        return end

    def ended(self, token: object) -> None:
        self._ends.pop(token, None)

    def free_at(self, now: float) -> float:
        """When a run that is given now would start."""
        if len(self._ends) < self._count:
            return now
        return free_at(self._ends.values(), self._count, now)

    def close(self) -> None:
        """What was given is still run."""
        self._closed = True
        for _ in range(self._started):
            self._given.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        if self._began is not None:
            self._began()
        while (work := self._given.get()) is not None:
            work()
