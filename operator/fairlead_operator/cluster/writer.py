"""Statuses out: a queue keyed by object, the newest wins. Server-side apply, only where something differs.

One object that cannot be written (its namespace is ending, a webhook refuses it) waits by itself, longer each time,
and holds up no other. A burst is spread out: no more than so many writes a second, and one a second for each object.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable
from typing import Any

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.cluster.objects import Known, Objects
from fairlead_operator.resource import GROUP, KIND, VERSION

WORKERS = 4
PER_SECOND = 50.0
EACH_S = 1.0
SLOWEST_S = 120.0


class StatusWriter:
    """`allowed` says whether this operator may write now."""

    def __init__(self, server: api.Api, objects: Objects, allowed: Callable[[], bool]) -> None:
        self._api = server
        self._objects = objects
        self._allowed = allowed
        self._wanted: dict[str, dict[str, Any]] = {}
        self._due: list[tuple[float, str]] = []  # a heap; each object of `_wanted` that nobody writes stands in it once
        self._under_way: set[str] = set()
        self._next: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._applied: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}  # uid, what was sent, what came of it
        self._settled: dict[str, tuple[Known, dict[str, Any]]] = {}  # what was compared already, and is the same
        self._wake = asyncio.Event()
        self.writes = 0

    def want(self, ref: str, status: dict[str, Any]) -> None:
        """The status that the object should have. Costs nothing where it has it."""
        one = self._objects.known.get(ref)
        if one is None or self._has(one, status):
            self._wanted.pop(ref, None)
            return
        queued = ref in self._wanted
        self._wanted[ref] = status
        if not queued and ref not in self._under_way:
            self._queue(ref, self._next.get(ref, 0.0))

    def waiting(self) -> int:
        return len(self._wanted)

    def failing(self) -> int:
        return len(self._failures)

    def forget(self) -> None:
        """Of objects that are gone nothing is kept."""
        for ref in {*self._wanted, *self._next, *self._failures, *self._applied, *self._settled} - (
            self._objects.known.keys()
        ):
            for kept in (self._wanted, self._next, self._failures, self._applied, self._settled):
                kept.pop(ref, None)

    async def run(self) -> None:
        await asyncio.gather(*(self._work() for _ in range(WORKERS)))

    def _has(self, one: Known, status: dict[str, Any]) -> bool:
        settled = self._settled.get(one.ref)
        if settled is not None and settled[0] is one and settled[1] is status:
            return True
        uid, sent, became = self._applied.get(one.ref, ("", {}, {}))
        has = one.status == status or (uid == one.uid and sent == status and one.status == became)
        if has:
            self._settled[one.ref] = (one, status)
        return has

    def _queue(self, ref: str, at: float) -> None:
        heapq.heappush(self._due, (max(at, time.monotonic()), ref))
        self._wake.set()

    async def _work(self) -> None:
        while True:
            now = time.monotonic()
            if not self._due or self._due[0][0] > now:
                await api.pause(min(1.0, self._due[0][0] - now) if self._due else 1.0, self._wake)
                continue
            _, ref = heapq.heappop(self._due)
            if ref in self._wanted and ref not in self._under_way:
                self._under_way.add(ref)
                try:
                    await self._write(ref)
                finally:
                    self._under_way.discard(ref)
                if ref in self._wanted:
                    self._queue(ref, self._next.get(ref, 0.0))
                await asyncio.sleep(WORKERS / PER_SECOND)

    async def _write(self, ref: str) -> None:
        status, one = self._wanted.pop(ref), self._objects.known.get(ref)
        if one is None or not self._allowed():
            return
        metadata = {"name": one.name, "namespace": one.namespace, "uid": one.uid}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status}
        try:
            found = await self._api.apply(api.served_models(one.namespace, one.name, "status"), body)
        except OSError as error:
            self._failed(ref, status, error)
            return
        self.writes += 1
        self._failures.pop(ref, None)
        self._next[ref] = time.monotonic() + EACH_S
        self._applied[ref] = (one.uid, status, found.get("status") or {})
        self._objects.put(found)

    def _failed(self, ref: str, status: dict[str, Any], error: OSError) -> None:
        if isinstance(error, api.ApiFault) and (error.gone or error.conflict):
            self._next[ref] = time.monotonic() + EACH_S
            if self._objects.known.get(ref) is not None:
                self._objects.doubted()
            return  # it was removed, or made anew: whoever wants a status for it says so again
        failures = self._failures[ref] = self._failures.get(ref, 0) + 1
        if failures == 1:
            log.warning("status not written", object=ref, why=str(error))
        pause = min(2.0**failures, SLOWEST_S) * random.uniform(0.8, 1.2)  # noqa: S311 - so that they do not march in step
        self._next[ref] = time.monotonic() + pause
        self._wanted.setdefault(ref, status)
