"""A supervisor on a thread and loop of its own, for a host that owns the main thread and its loop.

The thread lives as long as the replica does, since the children of the replica end with the thread that
started them. What the host asks from its own threads is carried over to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Mapping
from typing import Any

from fairlead_server import log
from fairlead_server.settings import ReplicaSettings
from fairlead_server.supervisor.blocks import take_home
from fairlead_server.supervisor.main import Supervisor
from fairlead_server.supervisor.times import Times
from fairlead_server.supervisor.usage import Usage

CALL_S = 30.0
LOOK_S = 0.05
TELL_S = 60.0  # between two lines of log about a replica that is not ready yet


class Aside:
    """`start` raises what keeps the replica from starting, such as a port that is taken."""

    def __init__(self, settings: ReplicaSettings) -> None:
        self._settings = settings
        self._thread = threading.Thread(target=self._run, name="fairlead-supervisor", daemon=True)
        self._started: concurrent.futures.Future[Supervisor] = concurrent.futures.Future()
        self._fault = ""

    def start(self) -> None:
        self._thread.start()
        self._started.result(CALL_S)

    def wait_ready(self, limit_s: float) -> bool:
        """Whether it became ready. With a catalog it is waited for as long as it lives: its models may be many and
        large. One that is on the way has `limit_s` to come; without one there is nothing to wait for."""
        supervisor = self._started.result()
        start = told = time.monotonic()
        while not self.dead():
            reason, now = supervisor.not_ready(), time.monotonic()
            if not reason:
                return True
            late = now - start >= limit_s and not supervisor.has_catalog
            if late or supervisor.has_nothing_to_serve():
                return False
            if now - told >= TELL_S:
                told = now
                log.info("replica_not_ready_yet", reason=reason, since_s=round(now - start))
            time.sleep(LOOK_S)
        return False

    def dead(self) -> str:
        """Why this replica has to be started anew, or ""."""
        if not self._thread.is_alive():
            return self._fault or "the supervisor's thread has ended"
        supervisor = self._started.result(CALL_S)
        if not supervisor.alive:
            return "the supervisor's loop does not turn"
        return "it has drained, and a successor may take its place" if supervisor.drained else ""

    async def usage(self) -> dict[str, float]:
        """What the autoscaling goes by; nothing while there is nothing to tell. From the host's loop."""
        supervisor = self._started.result(CALL_S)

        async def ask() -> Usage | None:
            return supervisor.usage()

        used = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), self._loop))
        return {} if used is None else dataclasses.asdict(used)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Raises ValueError for what cannot change."""

        supervisor = self._started.result(CALL_S)

        async def change() -> None:
            supervisor.reconfigure(config)

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(CALL_S)

    async def leave(self) -> None:
        """Drain, then end. From the host's loop; the second time nothing happens."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leave.set)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:
            self._fault = f"the supervisor failed: {fault!r}"
            log.error("supervisor_failed", fault=repr(fault))
            if not self._started.done():
                self._started.set_exception(fault)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        times = Times()
        supervisor = Supervisor(take_home(self._settings, times.ports), times)
        await supervisor.start()
        self._started.set_result(supervisor)
        try:
            await self._leave.wait()
            await supervisor.drain()
        finally:
            await supervisor.stop()
