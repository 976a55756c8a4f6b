"""What only the active operator does: from the moment it holds the lease until it does not.

    registry (one poll for all pools) --> pools --> statuses, events
                                     `--> ServedModels from tags

Built anew each time: all that it remembers lies in the statuses and the stored catalogs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from fairlead_operator.cluster import api
from fairlead_operator.cluster.endpoint import Gauges
from fairlead_operator.cluster.events import Recorder
from fairlead_operator.cluster.from_registry import Maker
from fairlead_operator.cluster.lease import Lease
from fairlead_operator.cluster.objects import Objects
from fairlead_operator.cluster.pool import Pool
from fairlead_operator.cluster.slices import SliceFleet
from fairlead_operator.cluster.statuses import Statuses
from fairlead_operator.cluster.writer import StatusWriter
from fairlead_operator.config import Config
from fairlead_operator.polling import Poller, Registry
from fairlead_operator.sharing import Board, Untold
from fairlead_operator.sightings import Claims, chooser
from fairlead_operator.spec import Tags
from fairlead_operator.state import Snapshot

STUCK_S = 300.0

Asked = Mapping[str, tuple[Claims, dict[str, str]]]  # by pool: claims and holders
Answer = tuple[Asked, Snapshot]


class Session:
    """What only the active operator does: from the moment it holds the lease until it does not."""

    def __init__(
        self, config: Config, server: api.Api, objects: Objects, fleets: Mapping[str, SliceFleet], registry: Registry,
        lease: Lease,
    ) -> None:  # fmt: skip
        self._config = config
        self._keys = Tags(config.installation)
        self._lease = lease
        self._objects = objects
        self.pools = {name: Pool(name, config, server, objects, fleet, lease.held) for name, fleet in fleets.items()}
        self.writer = StatusWriter(server, objects, lease.held)
        self.recorder = Recorder(server, lease.identity, lease.held)
        self._board = Board()
        self.poller: Poller[Answer] = Poller(registry, self, config.registry.interval_seconds)
        self.statuses = Statuses(config, objects, self.writer, self.recorder)
        self._maker = Maker(server, objects, self._keys, config, lease.held)
        self._snapshots: asyncio.Queue[Snapshot] = asyncio.Queue(1)

    async def run(self) -> None:
        loops = [self.poller.run(), self.writer.run(), self.recorder.run(), self._make(), self._tell_the_others()]
        loops += [pool.run(lambda: self._lease.frozen, self._published) for pool in self.pools.values()]
        await together(*loops)

    def changed(self) -> None:
        for pool in self.pools.values():
            pool.woken()

    # --- the registry

    def question(self) -> Callable[[Registry], Answer]:
        asked = {name: (pool.claims(), pool.holders()) for name, pool in self.pools.items()}
        return partial(self._ask, asked, self._maker.models())

    def _ask(self, asked: Asked, made: set[str], registry: Registry) -> Answer:
        claims = [claim for these, _ in asked.values() for claim in these.served]
        names = {*made, *(claim.model for claim in claims)} | {
            model for _, holders in asked.values() for model in holders.values()
        }
        return asked, registry.snapshot(names, chooser(self._keys, self._config.registry.alias, claims))

    def heard(self, answer: Answer) -> None:
        asked, snapshot = answer
        self._board.heard(snapshot)
        for name, (claims, holders) in asked.items():
            self.pools[name].heard(claims, snapshot, holders)
        if self._snapshots.full():
            self._snapshots.get_nowait()
        self._snapshots.put_nowait(snapshot)

    def untold(self) -> list[Untold]:
        return self._board.untold(said for pool in self.pools.values() for said in pool.said())

    def told(self, untold: Untold) -> None:
        self._board.told(untold)
        for note in untold.notes:
            self.pools[note.pool].told(note)

    async def _make(self) -> None:
        while True:
            await self._maker.follow(await self._snapshots.get())

    # --- what the objects are told

    def _published(self, pool: Pool) -> None:
        if self._lease.held():
            self.statuses.publish(pool, self.poller.sight, time.time())

    async def _tell_the_others(self) -> None:
        """Objects that no pool may serve."""
        while True:
            if self._lease.held():
                self.statuses.publish_others(self.poller.sight, time.time())
                self.writer.forget()
            await asyncio.sleep(self._config.registry.interval_seconds)

    # --- what the cluster asks of us

    def stuck(self) -> str:
        """The pools that have not made a step for long."""
        now = time.monotonic()
        return ", ".join(name for name, pool in self.pools.items() if now - pool.stepped_at > STUCK_S)

    def gauges(self) -> Gauges:
        sight = self.poller.sight
        pools = {name: pool.gauges() for name, pool in self.pools.items()}
        by_name = {key: {name: gauges[key] for name, gauges in pools.items()} for key in next(iter(pools.values()))}
        return {
            "registry_reachable": float(not sight.error),
            "registry_seen_seconds": time.time() - sight.seen if sight.seen else -1.0,
            "statuses_written_total": float(self.writer.writes),
            "statuses_waiting": float(self.writer.waiting()),
            "statuses_failing": float(self.writer.failing()),
            "events_written_total": float(self.recorder.written),
            "events_dropped_total": float(self.recorder.dropped),
            "phases": self.statuses.phases(),
            **by_name,
        }


async def together(*parts: Coroutine[Any, Any, Any], until: asyncio.Event | None = None) -> None:
    """Until one of them ends, or the event; the others are ended then. Raises what ended the first."""
    tasks = [asyncio.create_task(part) for part in parts]
    if until is not None:
        tasks.append(asyncio.create_task(until.wait()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await ended(*tasks)
    for task in done:
        task.result()


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancelled again where a library lost the first cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
    await asyncio.gather(*tasks, return_exceptions=True)
