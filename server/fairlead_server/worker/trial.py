"""A trial: one unproven version, opened, warmed and smoke-tested where nobody else can be hurt.

    Load (without a profile) -> LOADING -> WARMING -> READY with what was measured, or FAILED with the reason

A worker without doors. It ends with its link; what is under way then is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from fairlead_server.link.messages import Load, Moved, ToWorker
from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.models.states import State
from fairlead_server.runtimes import DeviceFailure, LoadFailure
from fairlead_server.worker.loader import open_version


class Trial:
    def __init__(self, link: Link[ToWorker], threads: int) -> None:
        self._link = link
        self._threads = threads
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while (message := await self._link.receive()) is not None:
            if isinstance(message, Load):
                self._running.add(asyncio.ensure_future(self._try(message)))

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
                self._moved(load, State.READY, signature=opened.session.signature, profile=opened.profile)

    def _moved(self, load: Load, state: State, **more: Any) -> None:
        self._link.send(Moved(load.uid, state, time.time(), **more))
