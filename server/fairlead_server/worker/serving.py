"""A worker, put together: link, catalog, service and doors, and how it leaves.

link --orders--> keeper (catalog, loads) <--leases-- service <--requests-- doors
  ^--------------- states, counters, readiness ------------------------------'
"""

from __future__ import annotations

import asyncio
import collections
from importlib import metadata
from typing import Any

from fairlead_server import log
from fairlead_server.batching.marks import Marks
from fairlead_server.batching.threads import RunThreads
from fairlead_server.link.messages import Accepting, Counts, Drain
from fairlead_server.link.stream import Link
from fairlead_server.service.journey import Service
from fairlead_server.worker.arguments import Arguments
from fairlead_server.worker.entrance import Entrance
from fairlead_server.worker.keeper import Keeper
from fairlead_server.worker.lag import LoopLag
from fairlead_server.worker.process import resident_bytes, run_below_the_loop

COUNTS_S = 1.0
FLUSH_S = 2.0


class Worker:
    """Made inside the running loop."""

    def __init__(self, link: Link[Any], arguments: Arguments) -> None:
        threads = RunThreads(max(2, arguments.cores), run_below_the_loop)
        self._link = link
        self._keeper = Keeper(link, threads, Marks(arguments.marks_fd), arguments.cores, self._push_counts)
        self._service = Service(self._keeper.catalog, build=_build())
        self._entrance = Entrance(self._service, arguments.settings, arguments.http_fd)
        self._lag = LoopLag()
        self._drain: asyncio.Future[Drain] = asyncio.get_running_loop().create_future()
        self._opening = asyncio.Lock()

    async def run(self) -> None:
        """Until it has drained, or the link has ended. Raises where a part of it broke."""
        upkeep = (self._keeper.run(), self._lag.measure(), self._count())
        endless = (*upkeep, self._open_when_caught_up(), self._lose_device())
        ends = [asyncio.ensure_future(work) for work in (self._receive(), self._leave())]
        parts = [asyncio.ensure_future(work) for work in endless]
        waiting = {*ends, *parts}
        while not any(end.done() for end in ends):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _receive(self) -> None:
        while (message := await self._link.receive()) is not None:
            if not isinstance(message, Drain):
                self._keeper.take(message)
            elif not self._drain.done():
                self._drain.set_result(message)

    async def _open_when_caught_up(self) -> None:
        """Once: documents that come later never close the doors (their models keep what was in effect)."""
        await self._keeper.caught_up.wait()
        async with self._opening:
            if not self._drain.done():
                await self._entrance.open()
                self._service.accepting = not self._keeper.device_lost.is_set()
                self._link.send(Accepting(True))

    async def _lose_device(self) -> None:
        """Not ready any more; what needs no device is answered on, until the successor accepts."""
        await self._keeper.device_lost.wait()
        self._service.accepting = False

    async def _leave(self) -> None:
        drain = await self._drain
        async with self._opening:
            self._link.send(Accepting(False))
            cut = await self._entrance.drain(drain.grace_s, drain.idle_s)
        log.info("worker_drained", cut=cut, leases=self._keeper.catalog.leases)
        self._keeper.tell()
        self._push_counts()
        await self._link.closed(FLUSH_S)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNTS_S)
            self._push_counts()
            self._keeper.memory.look()

    def _push_counts(self) -> None:
        refused = self._service.refused + collections.Counter(self._entrance.gate.refused)
        changed, closed = self._keeper.take_counts()
        self._link.send(
            Counts(
                versions=changed,
                closed=closed,
                refused=refused,
                connections=self._entrance.connections,
                rss_bytes=resident_bytes(),
                loop_lag_ms=self._lag.take_worst_ms(),
            )
        )


def _build() -> str:
    try:
        return metadata.version("fairlead")
    except metadata.PackageNotFoundError:  # run from a checkout
        return ""
