"""What a load costs those who are served meanwhile: a version of another model, and one of the model that is asked.

    closed loop -> capacity -> open loop at 0.7 of it: quiet | another model comes | the same model's next version comes

A window begins with the PUT and ends when the new version is in effect, so all of it counts: the trial, the load and
the warm-up beside the traffic, the switch, and the unloading of the version before. The goal allows one warm-up run
more than the quiet tail: the longest of those that are run beside the traffic.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark import control
from benchmark.figures import Figure, Load, failures
from benchmark.goals import FAIRLEAD
from benchmark.load.calls import Call, call_of
from benchmark.load.hits import Hits, between, load_of
from benchmark.load.loops import closed_loop, open_hits
from benchmark.measure import Bench
from benchmark.subjects.fairlead import Fairlead, Pool, Replica

NAME = "load-under-load"
SERVED, OTHER = "bert", "resnet18"  # of a small model 0.7 of the capacity is more than vegeta can send beside it
SHARE = 0.7  # of the capacity
IN_FLIGHT = 8
LEAD_S = 1.0  # of traffic before the PUT
AFTER_S = 0.5  # and after the version is in effect
LOAD_S = 40.0  # a load takes no longer
REHEARSAL_US = 200_000.0  # so long a version is warmed up beside the traffic
SETTLE_S = 1.0


class LoadUnderLoad:
    names = (NAME,)
    needs = (SERVED, OTHER)

    def __init__(self, names: Sequence[str]) -> None:
        self._generations = itertools.count(2)

    def round(self, bench: Bench) -> Iterator[Figure]:
        bench.say(f"{NAME}: {SERVED} is served, {OTHER} and another {SERVED} are loaded")
        try:
            with Fairlead(bench.scratch, FAIRLEAD).pool([bench.models[SERVED]], bench.threads) as pool:
                yield from self._figures(bench, pool)
        except Exception as fault:  # the other measures go on
            bench.fail(f"{NAME}: {fault}")

    def _figures(self, bench: Bench, pool: Pool) -> Iterator[Figure]:
        call = call_of("binary", pool.endpoint(), bench.models[SERVED])
        seconds = 2.0 if bench.quick else bench.seconds
        closed_loop(call, IN_FLIGHT, 1.0)
        capacity = closed_loop(call, IN_FLIGHT, seconds)
        rate = SHARE * capacity.rate
        note = f"{SHARE:g} of {capacity.rate:,.0f} requests/s, HTTP binary"
        yield Figure(NAME, FAIRLEAD, capacity.rate, "requests/s", "more", "capacity")
        time.sleep(SETTLE_S)
        quiet = load_of(open_hits(call, rate, 2 * seconds))
        yield Figure(NAME, FAIRLEAD, quiet.p99_ms, "ms", "less", "p99 quiet", note)
        replica, settings = pool.replicas[0], {"threads": bench.threads}
        folder = {name: bench.models[name].folder for name in self.needs}
        other = control.entry({"1": folder[OTHER]}, "1", settings)
        # other settings are another version to prove, of the same bytes
        again = control.entry({"2": folder[SERVED]}, "2", {**settings, "max_queue_rows": 4095})
        served = control.entry({"1": folder[SERVED]}, "1", settings)
        for which, models in (("another model", {SERVED: served, OTHER: other}), ("the same model", {SERVED: again})):
            bench.say(f"{NAME}: {which}, at {rate:,.0f} requests/s")
            time.sleep(SETTLE_S)
            yield from self._window(call, rate, replica, which, models, note)

    def _window(
        self, call: Call, rate: float, replica: Replica, which: str, models: dict[str, Any], note: str
    ) -> Iterator[Figure]:
        with ThreadPoolExecutor(1) as threads:
            begin = time.monotonic()
            sent = threads.submit(open_hits, call, rate, LEAD_S + LOAD_S)
            time.sleep(LEAD_S)
            put_s = time.monotonic() - begin
            generation = next(self._generations)
            control.put(replica, control.document(generation, models))
            control.until(replica, "the load", control.all_applied(generation), LOAD_S - AFTER_S)
            end_s = time.monotonic() - begin
            run_ms = warm_up_ms(replica.status())
            hits: Hits = sent.result()
        all_of_it = load_of(hits)
        window = load_of(between(hits, put_s - LEAD_S / 2, end_s + AFTER_S))
        took = f"{note}; {end_s - put_s:.1f} s from the PUT to the route, {window.sent} requests in that time"
        lost = sum(all_of_it.failed.values())
        yield Figure(NAME, FAIRLEAD, lost, "requests", "less", f"lost, {which}", _told(all_of_it))
        yield Figure(NAME, FAIRLEAD, window.p99_ms, "ms", "less", f"p99, {which}", took)
        if which == "another model":
            yield Figure(NAME, FAIRLEAD, run_ms, "ms", "less", "warm-up run", f"of {OTHER}, the longest beside traffic")


def _told(load: Load) -> str:
    return f"of {load.sent}; {load.generator} took {load.busy:.2f} cores; failed: {failures(load) or 'none'}"


def warm_up_ms(status: Any) -> float:
    """Of all that is loaded, the longest run that warms up a worker: it runs one size after the other, as far as its
    time reaches."""
    tables = [
        version["profile"]["latency_us"]
        for model in status["models"].values()
        for version in model["versions"].values()
        if "profile" in version
    ]
    runs = [us for table in tables for us in _rehearsed(list(table.values()))]
    return max(runs, default=0.0) / 1e3


def _rehearsed(sizes: Sequence[float]) -> Iterator[float]:
    sums = itertools.accumulate(sizes)
    return itertools.compress(sizes, (spent <= REHEARSAL_US for spent in sums))
