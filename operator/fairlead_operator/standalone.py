"""The loop without Kubernetes: the registry is polled on a thread of its own, the pool is reconciled here.

    polling   what the registry has, and the tags that it should have
    loop      sightings so far -> reconcile step, every interval, faster while a rollout moves

The two meet in a pair of bounded hand-overs, so that a registry that is down, slow or hangs stops no rollout
that is under way, and ending the operator waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fairlead_operator import log
from fairlead_operator.polling import Poller, Registry
from fairlead_operator.reconcile import Reconciler
from fairlead_operator.report import Report
from fairlead_operator.sharing import Board, Untold
from fairlead_operator.sightings import Claims, Sightings, chooser, claims_of_files, claims_of_tags, look, only
from fairlead_operator.spec import Tags, from_folder
from fairlead_operator.state import CatalogConflict, Snapshot

POOL = "default"  # the one pool that a standalone operator has
MOVING_S = 0.2  # between steps while a rollout moves

Answer = tuple[Claims, Snapshot, dict[str, str]]


class Publisher(Protocol):
    def publish(self, report: Report) -> None: ...


class Asking:
    """Where claims come from: the registry's tags, or a folder of ServedModel files."""

    def __init__(self, keys: Tags, alias: str, folder: Path | None = None) -> None:
        self.keys = keys
        self.alias = alias
        self._folder = folder

    def files(self) -> Claims | None:
        """The folder's claims; None where tags decide. Raises OSError."""
        return None if self._folder is None else only(claims_of_files(*from_folder(self._folder, self.alias)), (POOL,))

    def ask(self, registry: Registry, claims: Claims | None, holders: Collection[str]) -> tuple[Claims, Snapshot]:
        """One complete answer. Raises RegistryUnavailable."""
        if claims is None:
            snapshot = registry.snapshot(holders, chooser(self.keys, self.alias, ()))
            return only(claims_of_tags(snapshot, self.keys, self.alias), (POOL,)), snapshot
        names = {*holders, *(claim.model for claim in claims.served)}
        return claims, registry.snapshot(names, chooser(self.keys, self.alias, claims.served))


class Standalone:
    """One operator, one registry, one pool. `run` ends when `stop` is called."""

    def __init__(
        self, registry: Registry, asking: Asking, reconciler: Reconciler, publisher: Publisher, interval_s: float
    ) -> None:
        self._asking = asking
        self._reconciler = reconciler
        self._publisher = publisher
        self._interval_s = interval_s
        self._sightings = Sightings(reconciler.claims())
        self._poller = Poller(registry, self, interval_s)
        self._board = Board()
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._published: Report | None = None

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        parts: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._poller.run()),
            asyncio.create_task(self._reconcile()),
            asyncio.create_task(self._stopped.wait()),
        ]
        done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            task.result()

    # --- the registry

    def question(self) -> Callable[[Registry], Answer]:
        return partial(self._asked, self._reconciler.holders())

    def _asked(self, holders: dict[str, str], registry: Registry) -> Answer:
        return *self._asking.ask(registry, self._asking.files(), holders.values()), holders

    def heard(self, answer: Answer) -> None:
        claims, snapshot, holders = answer
        self._board.heard(snapshot)
        self._sightings = look(self._sightings, claims, snapshot, holders)
        self._wake.set()

    def untold(self) -> list[Untold]:
        return self._board.untold(self._reconciler.said(POOL))

    def told(self, untold: Untold) -> None:
        self._board.told(untold)
        for note in untold.notes:
            self._reconciler.told(note)

    # --- the pool

    async def _reconcile(self) -> None:
        trouble = ""
        while True:
            try:
                await self._reconciler.step(self._sightings, time.time())
            except (CatalogConflict, OSError) as error:
                if str(error) != trouble:  # once, and not at every step
                    log.warning("nothing stored", why=str(error))
                trouble = str(error)
            else:
                trouble = ""
            self._publish()
            pause = MOVING_S if self._reconciler.moving() else self._interval_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # wait_for would lose a cancellation that comes with the event
                    await self._wake.wait()
            self._wake.clear()

    def _publish(self) -> None:
        report = Report(self._poller.sight, self._reconciler.lines())
        if report == self._published:
            return
        try:
            self._publisher.publish(report)
            self._published = report
        except OSError as error:
            log.warning("report not written", why=str(error))
