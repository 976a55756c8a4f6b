"""How long a catalog change takes from its PUT to the route of the last worker, and what requests notice of it.

    PUT to both replicas at once -> each of the four workers is asked over a connection of its own, again and again,
    until it answers from the new version -> the last one's time counts

Two versions of a tiny model are loaded; the change moves the route from one to the other, so no load is in it. In the
large row the document holds 5,000 further models, and every worker has all of them open.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from benchmark import control
from benchmark.callers import Caller, callers
from benchmark.figures import Figure, Load
from benchmark.goals import FAIRLEAD
from benchmark.load.calls import Call, call_of
from benchmark.load.hits import percentiles
from benchmark.load.loops import open_loop
from benchmark.measure import Bench
from benchmark.subject import Endpoint
from benchmark.subjects.fairlead import Fairlead, Pool

REPLICAS = WORKERS = 2
MODEL = "tiny"
FEW, MANY = 1, 5_000  # models in the document
CHANGES, QUICK_CHANGES = 100, 5
PAUSE_S = 0.1  # between one change's end and the next
SWITCH_S = 10.0  # longer than that is a failure
LOAD_S = 180.0  # for all models to be open in all workers
RATE = 300.0  # requests/s beside the changes: far below what would be felt on its own


class Change(NamedTuple):
    """Milliseconds from the PUT: until it was answered by both replicas, and until the last worker had changed."""

    stored_ms: float
    effect_ms: float


class CatalogChange:
    needs = (MODEL,)

    def __init__(self, names: Sequence[str]) -> None:
        self._models = {"catalog-change": FEW, "catalog-change-5000": MANY}
        self.names = tuple(name for name in self._models if name in names)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for name in self.names:
            models = min(self._models[name], 20) if bench.quick else self._models[name]
            subject = Fairlead(bench.scratch, FAIRLEAD, workers=WORKERS, replicas=REPLICAS)
            bench.say(f"{name}: {REPLICAS} replicas of {WORKERS} workers, {models} models")
            try:
                with subject.pool([bench.models[MODEL]], 1) as pool:
                    yield from _Round(bench, name, pool, models).figures()
            except Exception as fault:  # the other row goes on
                bench.fail(f"{name}: {fault}")


class _Round:
    """One set of replicas, from its models' loading to the last change."""

    def __init__(self, bench: Bench, name: str, pool: Pool, models: int) -> None:
        self._bench, self._name, self._pool, self._count = bench, name, pool, models
        self._generation = 1
        folder = bench.models[MODEL].folder
        self._further = {
            f"further-{number:05}": control.entry({"1": folder}, "1", {"threads": 1}) for number in range(models - 1)
        }
        endpoint = Endpoint(pool.replicas[0].http, pool.replicas[0].grpc, ())
        self._call: Call = call_of("json", endpoint, bench.models[MODEL])

    def figures(self) -> Iterator[Figure]:
        loaded_s = self._load()
        with callers(self._pool.replicas[0]) as first, callers(self._pool.replicas[1]) as second:
            workers = [*first, *second]
            if len(workers) != REPLICAS * WORKERS:
                raise RuntimeError(f"{len(workers)} workers were found")
            seconds = 2.0 if self._bench.quick else max(self._bench.seconds, 10.0)
            quiet = open_loop(self._call, RATE, seconds)
            changes, meanwhile = self._changes(workers)
        yield from self._told(changes, quiet, meanwhile, loaded_s)

    def _load(self) -> float:
        """Both versions, and all further models, in all workers."""
        begin = time.monotonic()
        self._put(self._document("1"))
        for replica in self._pool.replicas:
            control.until(replica, "the workers' start", control.accepting(WORKERS), LOAD_S)
            control.until(replica, "loading", control.all_applied(self._generation), LOAD_S)
        return time.monotonic() - begin

    def _document(self, route: str) -> bytes:
        self._generation += 1
        folder = self._bench.models[MODEL].folder
        changed = control.entry({"1": folder, "2": folder}, route, {"threads": 1})
        models: Mapping[str, Any] = {**self._further, MODEL: changed}
        return control.document(self._generation, models)

    def _put(self, data: bytes) -> None:
        with ThreadPoolExecutor(REPLICAS) as threads:
            list(threads.map(lambda replica: control.put(replica, data), self._pool.replicas))

    def _changes(self, workers: Sequence[Caller]) -> tuple[list[Change], Load]:
        count = QUICK_CHANGES if self._bench.quick else CHANGES
        documents = [("2" if number % 2 == 0 else "1") for number in range(count)]
        with ThreadPoolExecutor(REPLICAS + 1) as threads:
            load = threads.submit(open_loop, self._call, RATE, count * (PAUSE_S + 0.05) + 1.0)
            time.sleep(0.5)
            changes = [self._change(route, workers, threads) for route in documents]
            return changes, load.result()

    def _change(self, route: str, workers: Sequence[Caller], threads: ThreadPoolExecutor) -> Change:
        data = self._document(route)
        time.sleep(PAUSE_S)
        stored: list[float] = []
        begin = time.perf_counter()
        puts = [threads.submit(_timed_put, replica, data, stored) for replica in self._pool.replicas]
        until_all(workers, self._call, route, begin + SWITCH_S)
        end = time.perf_counter()
        _finish(puts)
        return Change((max(stored) - begin) * 1e3, (end - begin) * 1e3)

    def _told(self, changes: Sequence[Change], quiet: Load, meanwhile: Load, loaded_s: float) -> Iterator[Figure]:
        effect = percentiles(np.array([change.effect_ms for change in changes]))
        stored = percentiles(np.array([change.stored_ms for change in changes]))
        note = f"{len(changes)} changes; {self._count} models, all open in each of {REPLICAS * WORKERS} workers"
        for part, value in (
            ("p50", effect[0]),
            ("p99", effect[1]),
            ("most", effect[3]),
            ("PUT answered, p99", stored[1]),
        ):
            yield Figure(self._name, FAIRLEAD, value, "ms", "less", part, note)
        lost = f"{RATE:g} requests/s to one replica; {_lost(meanwhile)}"
        yield Figure(self._name, FAIRLEAD, quiet.p99_ms, "ms", "less", "infer p99 quiet", lost)
        yield Figure(self._name, FAIRLEAD, meanwhile.p99_ms, "ms", "less", "infer p99 meanwhile", lost)
        if self._count > 1:
            yield Figure(self._name, FAIRLEAD, loaded_s, "s", "less", "all models loaded", note)


def _lost(load: Load) -> str:
    """What the generator itself did not send for want of a processor stands in it as such."""
    why = f" ({', '.join(f'{count} {status}' for status, count in load.failed.items())})" if load.failed else ""
    return f"{sum(load.failed.values())} lost of {load.sent}{why}"


def _timed_put(replica: Any, data: bytes, stored: list[float]) -> None:
    control.put(replica, data)
    stored.append(time.perf_counter())


def _finish(puts: Sequence[Future[None]]) -> None:
    for put in puts:
        put.result()


def until_all(workers: Sequence[Caller], call: Call, version: str, deadline: float) -> None:
    """Ask in turn those that have not changed yet."""
    waiting = list(workers)
    while waiting := [worker for worker in waiting if worker.version(call) != version]:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{len(waiting)} workers did not change within {SWITCH_S:g} s")
