"""A trial: an unproven version, opened, warmed, smoke-tested and closed where nobody else can be hurt.

    Load (without a profile) -> LOADING -> WARMING -> READY with what was measured, or FAILED with the reason

A worker without doors. It may try one version after the other, until it has tried many or does not get rid of what they
took: then it ends, since the next one would be measured too small. It ends with its link, too; what is under way
then is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from fairlead_server import log
from fairlead_server.link.messages import Load, Moved, ToWorker
from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.models.states import State
from fairlead_server.runtimes import DeviceFailure, LoadFailure
from fairlead_server.worker.loader import Opened, open_version
from fairlead_server.worker.memory import give_back
from fairlead_server.worker.process import resident_bytes

FLUSH_S = 2.0


MOST_TRIALS = 64
KEPT_BYTES = 4 * 2**20  # more than at first; so much may a later measurement be short of


class Trial:
    """Made when the process has taken what every process takes (`loader.prime`)."""

    def __init__(self, link: Link[ToWorker], threads: int) -> None:
        self._link = link
        self._threads = threads
        self._running: set[asyncio.Task[None]] = set()
        self._tried = 0
        self._first_bytes = resident_bytes()

    async def run(self) -> None:
        """Returns when the process should end."""
        while (message := await self._link.receive()) is not None:
            if isinstance(message, Load):
                task = asyncio.ensure_future(self._try(message))
                self._running.add(task)
                task.add_done_callback(self._done)
        await self._link.closed(FLUSH_S)

    def _done(self, task: asyncio.Task[None]) -> None:
        """A fault of ours must not look like a trial that never ends."""
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("trial_fault", fault=repr(task.exception()))
            self._link.close()

    async def _try(self, load: Load) -> None:
        with contextlib.suppress(LinkEnded):
            self._moved(load, State.LOADING)
            try:
                opened = await open_version(load, self._threads, lambda: self._moved(load, State.WARMING))
            except LoadFailure as failure:
                self._moved(load, State.FAILED, reason=failure.reason, final=failure.final)
            except DeviceFailure as failure:
                self._moved(load, State.FAILED, reason=f"the device failed while it was tried: {failure.cause}")
            else:
                signature = opened.session.signature
                await asyncio.to_thread(_close, opened)
                self._moved(load, State.READY, signature=signature, profile=opened.profile)
                self._end_where_spent(load)

    def _end_where_spent(self, load: Load) -> None:
        """A device's context never goes while the process lives."""
        self._tried += 1
        kept = resident_bytes() - self._first_bytes
        if self._tried >= MOST_TRIALS or kept > KEPT_BYTES or load.settings.providers != ("cpu",):
            self._link.close()

    def _moved(self, load: Load, state: State, **more: Any) -> None:
        self._link.send(Moved(load.uid, state, time.time(), **more))


def _close(opened: Opened) -> None:
    opened.session.close()
    give_back()
