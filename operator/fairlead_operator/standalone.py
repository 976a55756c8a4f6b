"""The loop without Kubernetes: the registry is polled on a thread of its own, the pool is reconciled here.

    thread   poll the registry, write tags    (each call may hang; nothing waits for it)
    loop     sightings so far -> reconcile step, every interval, faster while a rollout moves

The two meet in a pair of bounded hand-overs, so that a registry that is down, slow or hangs stops no rollout
that is under way, and ending the operator waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from fairlead_operator import log
from fairlead_operator.reconcile import Reconciler, Untold
from fairlead_operator.report import RegistrySight, Report
from fairlead_operator.sightings import Claims, Sightings, chooser, claims_of_files, claims_of_tags, look, only
from fairlead_operator.spec import Tags, from_folder
from fairlead_operator.state import CatalogConflict, RegisteredModel, RegistryUnavailable, Snapshot

T = TypeVar("T")

MOVING_S = 0.2  # between steps while a rollout moves
POOL = "default"  # the one pool that a standalone operator has
SLOWER = 10  # the registry is polled no more often than so many times its own answer takes
SLOWEST_S = 15.0
HUNG_S = 90.0  # a call that takes longer is left behind, on its thread
LEFT_BEHIND = 5
TAGS_AT_ONCE = 100


class Registry(Protocol):
    """See registry.MlflowRegistry."""

    def open(self) -> None: ...
    def snapshot(self, names: Collection[str], choose: Callable[[RegisteredModel], Collection[str]]) -> Snapshot: ...
    def write_tag(self, model: str, version: str, name: str, value: str) -> None: ...


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
        self._registry = registry
        self._asking = asking
        self._reconciler = reconciler
        self._publisher = publisher
        self._interval_s = interval_s
        self._sightings = Sightings(reconciler.claims())
        self._sight = RegistrySight(None, time.time(), "it has not answered yet")
        self._told: list[Untold] = []
        self._not_taken: list[Untold] = []  # the one that failed last stands last
        self._errands = Errands()
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._published: Report | None = None

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        parts: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._poll()),
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

    async def _poll(self) -> None:
        before = 0.0
        with contextlib.suppress(TimeoutError, RegistryUnavailable):
            await self._errands.run(self._registry.open)  # seconds of imports, which say nothing of the registry
        while True:
            began = time.monotonic()
            holders = self._reconciler.holders()
            try:
                claims, snapshot = await self._errands.run(partial(self._asked, holders.values()))
            except (RegistryUnavailable, OSError, TimeoutError) as error:
                self._missed(str(error) or f"no answer within {HUNG_S:g} s")
            else:
                self._heard(look(self._sightings, claims, snapshot, holders))
                await self._tell()
            took = time.monotonic() - began
            pause = pause_s(self._interval_s, before, took)
            before = took
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that operators do not march in step

    def _asked(self, models: Collection[str]) -> tuple[Claims, Snapshot]:
        return self._asking.ask(self._registry, self._asking.files(), models)

    def _heard(self, sightings: Sightings) -> None:
        now = time.time()
        if self._sight.error:
            log.info("registry answers", why=f"after {now - self._sight.since:.1f} s")
        since = now if self._sight.error else self._sight.since
        self._sight = RegistrySight(now, since, "")
        self._sightings = sightings
        self._wake.set()

    def _missed(self, why: str) -> None:
        began = self._sight.since if self._sight.error else time.time()
        if self._sight.error != why:
            log.warning("registry not seen", why=why, since=round(self._sight.seen or began, 3))
        self._sight = RegistrySight(self._sight.seen, began, why)

    async def _tell(self) -> None:
        """Tags that the registry should have. What it did not take is tried again after the next poll, behind the
        others: one that it never takes holds up none of them."""
        untolds = [untold for untold in self._reconciler.untold() if untold not in self._told]
        self._not_taken = [untold for untold in self._not_taken if untold in untolds]
        fresh = [untold for untold in untolds if untold not in self._not_taken]
        for untold in [*fresh, *self._not_taken][:TAGS_AT_ONCE]:
            try:
                await self._errands.run(partial(self._write, untold))
            except (RegistryUnavailable, TimeoutError) as error:
                self._not_taken = [*(one for one in self._not_taken if one != untold), untold]
                log.warning("tag not written", model=untold.model, version=untold.version, why=str(error))
                return
            log.debug("tag", model=untold.model, version=untold.version, tag=untold.tag, value=untold.value)
            self._told.append(untold)

    def _write(self, untold: Untold) -> None:
        self._registry.write_tag(untold.model, untold.version, untold.tag, untold.value)

    # --- the pool

    async def _reconcile(self) -> None:
        trouble = ""
        while True:
            told, self._told = self._told, []
            for untold in told:
                self._reconciler.told(untold)
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
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue
            self._wake.clear()

    def _publish(self) -> None:
        report = Report(self._sight, self._reconciler.lines())
        if report == self._published:
            return
        try:
            self._publisher.publish(report)
            self._published = report
        except OSError as error:
            log.warning("report not written", why=str(error))


def pause_s(interval_s: float, before_s: float, took_s: float) -> float:
    """Seconds until the next poll, by what the last two took: one slow answer is an accident, two in a row are
    a registry that should be asked less."""
    return max(interval_s, min(SLOWER * min(before_s, took_s), SLOWEST_S))


class Errands:
    """Blocking calls on threads that nobody has to wait for: not beyond HUNG_S, and not at the end of the process."""

    def __init__(self) -> None:
        self.under_way = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Raises TimeoutError, or RegistryUnavailable while too many earlier calls still hang."""
        if self.under_way >= LEFT_BEHIND:
            raise RegistryUnavailable(f"{self.under_way} earlier calls still hang")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.under_way += 1

        def settle(result: T | None, error: BaseException | None) -> None:
            self.under_way -= 1
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(cast(T, result))

        def run() -> None:
            result, failed = None, None
            try:
                result = work()
            except BaseException as error:
                failed = error
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(settle, result, failed)

        threading.Thread(target=run, name="registry", daemon=True).start()
        return await asyncio.wait_for(future, HUNG_S)
