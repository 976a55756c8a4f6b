"""The fetcher process as the supervisor uses it: ask for a version, get a verified directory or the reason.

The one fetcher alone writes the model cache. When it dies, its successor gets the open requests again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection

from fairlead_server import log
from fairlead_server.link.messages import Fetch, Fetched, FetchFailed, Forget, FromFetcher
from fairlead_server.supervisor.children import Child, Launch
from fairlead_server.supervisor.times import Times, back_off

AT_ONCE = 4


class Fetcher:
    """`serving`: whether there is traffic that a fetch must not be felt by."""

    def __init__(self, launch: Launch, times: Times, serving: Callable[[], bool] = lambda: False) -> None:
        self._launch = launch
        self._times = times
        self._serving = serving
        self._child: Child | None = None
        self._open: dict[int, tuple[Fetch, asyncio.Future[Fetched | FetchFailed]]] = {}
        self._ids = itertools.count(1)
        self._keep: list[str] | None = None
        self.conditions: dict[str, str] = {}

    async def run(self) -> None:
        """For ever: a fetcher, and the next one when it has ended."""
        failures = 0
        while True:
            try:
                self._child = await Child.start("fetcher", self._launch, FromFetcher)
            except OSError as fault:  # no descriptors, no memory: it may pass
                failures += 1
                await self._pause(failures, f"it could not be started: {fault}")
                continue
            if self._keep is not None:
                self._child.send(Forget(self._keep))
            for request, _ in self._open.values():
                self._child.send(request)
            while (message := await self._child.receive()) is not None:
                failures = 0
                self._answer(message)
            child, self._child = self._child, None
            failures += 1
            await self._pause(failures, str(await child.ending(self._times.end)))

    async def _pause(self, failures: int, how: str) -> None:
        pause = back_off(self._times.crash, self._times.crash_most, failures)
        log.warning("fetcher_ended", how=how, pause_s=pause)
        await asyncio.sleep(pause)

    async def fetch(self, source: str, digest: str | None) -> Fetched | FetchFailed:
        request = Fetch(next(self._ids), source, digest)
        future: asyncio.Future[Fetched | FetchFailed] = asyncio.get_running_loop().create_future()
        self._open[request.id] = (request, future)
        if self._child is not None:
            if self._serving():
                self._child.give_way(self._times.patience)
            self._child.send(request)
        try:
            async with asyncio.timeout(self._times.fetch):
                return await future
        except TimeoutError:
            if self._child is not None:
                self._child.kill()  # it hangs: the successor takes the others over
            return FetchFailed(request.id, f"it was not fetched within {self._times.fetch:.0f} s", retry=True)
        finally:
            del self._open[request.id]

    def forget(self, keep: Collection[str]) -> None:
        """What is not in `keep` may be evicted."""
        wanted = sorted(set(keep))
        if wanted == self._keep:
            return
        self._keep = wanted
        if self._child is not None:
            self._child.send(Forget(wanted))

    async def stop(self) -> None:
        """To be called when `run` was cancelled."""
        if self._child is not None:
            self._child.kill()
            await self._child.ending(self._times.end)

    def memory_bytes(self) -> int:
        return self._child.memory_bytes() if self._child is not None else 0

    def _answer(self, message: Fetched | FetchFailed) -> None:
        if isinstance(message, Fetched):
            if message.copied:
                self.conditions.clear()
        elif message.condition:
            self.conditions[message.condition] = message.reason
        request = self._open.get(message.id)
        if request is not None and not request[1].done():
            request[1].set_result(message)
