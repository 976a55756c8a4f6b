"""Ends a process of the replica before the kernel has to: the trial first, then the largest worker.

An out-of-memory kill by the kernel may take any process, the supervisor too, and would count against whatever
version was running. So near the limit one process is ended here, in good order of worth.
"""

from __future__ import annotations

import time

from fairlead_server import log
from fairlead_server.supervisor.children import memory_bytes
from fairlead_server.supervisor.fetching import Fetcher
from fairlead_server.supervisor.memory import FULL, container_bytes
from fairlead_server.supervisor.trial import Trials
from fairlead_server.supervisor.workers import Workers

PAUSE_S = 10.0  # between two, so that the first has given its memory back


class Guard:
    """`contained`: the limit is the container's own, so the kernel's count is what matters."""

    def __init__(self, limit: int, contained: bool, fetcher: Fetcher, trials: Trials, workers: Workers) -> None:
        self.limit = limit
        self._contained = contained
        self._fetcher, self._trials, self._workers = fetcher, trials, workers
        self._not_before = 0.0
        self.used = 0
        self.condition = ""

    def look(self) -> None:
        self.used = self._used()
        now = time.monotonic()
        if self.used < FULL * self.limit:
            if now > self._not_before + PAUSE_S:
                self.condition = ""
            return
        if now < self._not_before:
            return
        self._not_before = now + PAUSE_S
        self.condition = f"{self.used >> 20} MiB are used of {self.limit >> 20}: a process was ended to stay below"
        self._end_one()

    def _end_one(self) -> None:
        log.error("memory_full", used=self.used, limit=self.limit)
        if self._trials.end("memory ran out while it was tried"):
            return
        living = [worker for worker in self._workers.living.values() if not worker.killed]
        if living:
            largest = max(living, key=lambda worker: worker.child.memory_bytes())
            self._workers.kill(largest, "memory ran out")

    def _used(self) -> int:
        own = memory_bytes("self") + self._fetcher.memory_bytes() + self._trials.memory_bytes()
        own += self._workers.memory_bytes()
        return max(own, container_bytes()) if self._contained else own
