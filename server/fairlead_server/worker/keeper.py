"""Does what the catalog says is next, and tells the supervisor how it went.

orders -> catalog -> next_action -> open or close, one of each at a time -> catalog -> Moved, Applied
runs -> a lost device -> Broken
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fairlead_server import log
from fairlead_server.batching.batcher import Batcher
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.execute import RunModel
from fairlead_server.batching.marks import Marks
from fairlead_server.batching.threads import RunThreads
from fairlead_server.catalog.news import Move
from fairlead_server.catalog.version import Open, Version
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.link.messages import Applied, Apply, Broken, Load, Moved, Unload, VersionCounts
from fairlead_server.link.stream import Link
from fairlead_server.models.states import State
from fairlead_server.runtimes import DeviceFailure, LoadFailure
from fairlead_server.service.handle import Handle
from fairlead_server.worker.counting import Counted, Tally
from fairlead_server.worker.loader import Opened, open_version
from fairlead_server.worker.lost_device import watched
from fairlead_server.worker.memory import Memory
from fairlead_server.worker.process import resident_bytes

CLOSE_S = 30.0  # runs whose callers have left may last so long before their version stays open for good

Held = Version[Load, Handle]


class Keeper:
    """`cores` is the share of them for one instance; `threads` and the turn budget are the worker's only
    ones; `push_counts` sends what `take_counts` gives."""

    def __init__(
        self, link: Link[Any], threads: RunThreads, marks: Marks, cores: int, push_counts: Callable[[], None]
    ) -> None:
        self._link = link
        self._threads = threads
        self._marks = marks
        self._cores = cores
        self._push_counts = push_counts
        self._turn = TurnBudget()
        self._tally = Tally()
        self.memory = Memory()
        self._changed = asyncio.Event()
        self._doing: set[asyncio.Task[None]] = set()
        self.caught_up = asyncio.Event()
        self.device_lost = asyncio.Event()
        self.catalog: WorkerCatalog[Load, Handle] = WorkerCatalog(self._changed.set)

    def take(self, order: Load | Unload | Apply) -> None:
        if isinstance(order, Load):
            self.catalog.load(order.uid, order.model, order.version, order)
        elif isinstance(order, Unload):
            self.catalog.unload(order.uid)
        else:
            self.catalog.apply(order.generation, order.entries)

    async def run(self) -> None:
        """Until cancelled. Raises what a fault of ours raises."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._act()
            self.tell()

    def tell(self) -> None:
        for move in self.catalog.take_moves():
            self._link.send(self._moved(move))
        news = self.catalog.take_news()
        if news is not None:
            self._link.send(Applied(news.generation, news.pending, news.routes))
        if self.catalog.caught_up:
            self.caught_up.set()

    def take_counts(self) -> tuple[dict[str, VersionCounts], tuple[str, ...]]:
        """Of the open versions, by uid, those that have changed since they were taken last; and those closed since."""
        return self._tally.take(
            Counted(held.uid, held.model, held.version, held.handle.batcher.counts, held.leases)
            for held in self.catalog.versions.values()
            if held.handle
        )

    def _act(self) -> None:
        while (action := self.catalog.next_action()) is not None:
            held = self.catalog.begin(action)
            work = self._open(held) if isinstance(action, Open) else self._close(held)
            task = asyncio.ensure_future(work)
            self._doing.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("worker_fault", fault=repr(task.exception()))

    async def _open(self, held: Held) -> None:
        try:
            opened = await open_version(held.source, self._cores, lambda: self.catalog.warming(held.uid))
        except LoadFailure as failure:
            self.catalog.failed(held.uid, failure.reason, final=failure.final)
        except DeviceFailure as failure:
            self.catalog.failed(held.uid, f"the device failed while it was warmed: {failure.cause}", final=False)
            self._device_lost(failure, (held.uid, *self._marks.running()))
        else:
            self.catalog.opened(held.uid, self._handle(held, opened))
            self.memory.growth.opened(resident_bytes())

    def _handle(self, held: Held, opened: Opened) -> Handle:
        session, profile = opened.session, opened.profile
        run: RunModel = session.run
        turn = self._turn
        if held.source.settings.on_gpu:
            run = watched(run, self._marks, self._device_lost)
            turn = TurnBudget(in_place_us=0.0)  # how long a device takes depends on what else waits for it
        batcher = Batcher(
            run,
            session.signature,
            held.source.settings,
            profile,
            turn=turn,
            threads=self._threads,
            mark=self._marks.mark(held.uid),
        )
        return Handle(session.signature, profile, batcher, session.close)

    def _device_lost(self, failure: DeviceFailure, running: tuple[str, ...]) -> None:
        """The first time is told: from then on every run on the device fails."""
        if self.device_lost.is_set():
            return
        held = (self.catalog.versions.get(uid) for uid in dict.fromkeys(running))
        uids = tuple(version.uid for version in held if version is not None and version.source.settings.on_gpu)
        log.error("device_lost", cause=failure.cause, by_model=failure.by_model, running=uids)
        self._link.send(Broken(failure.cause, uids if failure.by_model else ()))
        self.device_lost.set()

    async def _close(self, held: Held) -> None:
        """No lease is left, but runs may be whose callers went away."""
        handle = held.handle
        assert handle is not None
        if await handle.batcher.close(CLOSE_S):
            await asyncio.to_thread(handle.close)
        else:
            log.error("session_kept", model=held.model, version=held.version, reason="a run does not end")
        # With its last counts, then without: the supervisor closes the account before this uid can begin again.
        self._push_counts()
        self.catalog.closed(held.uid)
        self._push_counts()
        self.memory.growth.closed(time.monotonic())

    def _moved(self, move: Move) -> Moved:
        now = time.time()
        held = self.catalog.versions.get(move.uid)
        if move.state is not State.READY or held is None or held.handle is None:
            return Moved(move.uid, move.state, now, move.reason, move.final)
        return Moved(move.uid, move.state, now, signature=held.handle.signature, profile=held.handle.profile)
