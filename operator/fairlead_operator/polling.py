"""The registry, asked again and again on a thread of its own: each call may hang, and nothing waits for it.

    poll     one complete answer an interval, less often where answers are slow
    tell     the tags that the registry should have, after each answer

What an answer means is its reader's business: this module knows neither claims nor pools.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

from fairlead_operator import log
from fairlead_operator.report import RegistrySight
from fairlead_operator.sharing import Untold
from fairlead_operator.state import RegisteredModel, RegistryUnavailable, Snapshot

T = TypeVar("T")

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


class Asker(Protocol, Generic[T]):
    """Who wants the answers."""

    def question(self) -> Callable[[Registry], T]:
        """What to ask now; it is called on another thread, and raises RegistryUnavailable or OSError."""

    def heard(self, answer: T) -> None: ...
    def untold(self) -> list[Untold]: ...
    def told(self, untold: Untold) -> None: ...


class Poller(Generic[T]):
    """Asks one registry on behalf of one Asker. `sight` is how the registry is doing."""

    def __init__(self, registry: Registry, asker: Asker[T], interval_s: float) -> None:
        self.sight = RegistrySight(None, time.time(), "it has not answered yet")
        self._registry = registry
        self._asker = asker
        self._interval_s = interval_s
        self._not_taken: list[Untold] = []  # the one that failed last stands last
        self._errands = Errands()

    async def run(self) -> None:
        before = 0.0
        await self.open()
        while True:
            began = time.monotonic()
            ask = self._asker.question()
            try:
                answer = await self._errands.run(partial(ask, self._registry))
            except (RegistryUnavailable, OSError, TimeoutError) as error:
                self._missed(str(error) or f"no answer within {HUNG_S:g} s")
            else:
                self._answered()
                self._asker.heard(answer)
                await self._tell()
            took = time.monotonic() - began
            pause = pause_s(self._interval_s, before, took)
            before = took
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that operators do not march in step

    async def open(self) -> None:
        """Seconds of imports, which say nothing of the registry."""
        with contextlib.suppress(TimeoutError, RegistryUnavailable):
            await self._errands.run(self._registry.open)

    def _answered(self) -> None:
        now = time.time()
        if self.sight.error:
            log.info("registry answers", why=f"after {now - self.sight.since:.1f} s")
        self.sight = RegistrySight(now, now if self.sight.error else self.sight.since, "")

    def _missed(self, why: str) -> None:
        began = self.sight.since if self.sight.error else time.time()
        if self.sight.error != why:
            log.warning("registry not seen", why=why, since=round(self.sight.seen or began, 3))
        self.sight = RegistrySight(self.sight.seen, began, why)

    async def _tell(self) -> None:
        """Tags that the registry should have. What it did not take is tried again after the next poll, behind the
        others: one that it never takes holds up none of them."""
        untolds = self._asker.untold()
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
            self._asker.told(untold)

    def _write(self, untold: Untold) -> None:
        self._registry.write_tag(untold.model, untold.version, untold.tag, untold.value)


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
        async with asyncio.timeout(HUNG_S):
            return await future
