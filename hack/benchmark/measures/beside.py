"""What a flood on a big model costs a small one in the same worker.

    closed loop on the big one -> its capacity
    open loop on the small one: alone | beside twice the big one's capacity

The small one is asked so seldom that it costs next to nothing itself, and its tail counts from when each request was
due. The flood has the deadline that the overload's has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmark.answers import check
from benchmark.figures import Figure, Load
from benchmark.load.calls import call_of
from benchmark.load.generator import GeneratorFailed
from benchmark.load.loops import closed_loop, open_loop
from benchmark.measure import Bench
from benchmark.measures.overload import DEADLINE, DEADLINE_MS, GIVE_UP_S, IN_FLIGHT, MORE, WIRE, told
from benchmark.subject import Endpoint

NAME, SMALL, BIG = "beside", "tiny", "bert"
RATE = 200.0  # requests/s on the small one
LEAD_S = 1.0  # the flood begins before, and ends after
_WARM_UP_S = 1.0
_QUICK_S = 2.0


class Beside:
    names = (NAME,)
    needs = (SMALL, BIG)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in bench.subjects.values():
            if subject.role == "limit" or not {"json", WIRE} <= subject.protocols:
                continue
            bench.say(f"{subject.name}: {NAME}, {SMALL} and {BIG}")
            models = [bench.models[name] for name in self.needs]
            try:
                with subject.serve(models, bench.threads) as endpoint:
                    check(endpoint, bench.models[SMALL], "json")
                    check(endpoint, bench.models[BIG], WIRE)
                    yield from self._loaded(bench, subject.name, endpoint)
            except Exception as fault:  # the others go on
                bench.fail(f"{subject.name}, {NAME}: {fault}")

    def _loaded(self, bench: Bench, name: str, endpoint: Endpoint) -> Iterator[Figure]:
        small = call_of("json", endpoint, bench.models[SMALL])
        plain = call_of(WIRE, endpoint, bench.models[BIG])
        flood = call_of(WIRE, endpoint, bench.models[BIG], parameters=DEADLINE, timeout_s=GIVE_UP_S)
        seconds = _QUICK_S if bench.quick else 2 * bench.seconds
        closed_loop(plain, IN_FLIGHT, _WARM_UP_S)
        capacity = closed_loop(plain, IN_FLIGHT, seconds / 2)
        if not capacity.good:
            raise GeneratorFailed(f"nothing was answered: {capacity.failed}")
        time.sleep(LEAD_S)
        open_loop(small, RATE, _WARM_UP_S)
        alone = open_loop(small, RATE, seconds)
        yield Figure(NAME, name, alone.p99_ms, "ms", "less", "p99 alone", f"{RATE:g} requests/s, {told(alone)}")
        with ThreadPoolExecutor(1) as threads:
            rate, lasts = MORE * capacity.rate, seconds + 2 * LEAD_S
            flooded = threads.submit(open_loop, flood, rate, lasts, deadline_ms=DEADLINE_MS)
            time.sleep(LEAD_S)
            beside = open_loop(small, RATE, seconds)
            big: Load = flooded.result()
        yield Figure(NAME, name, beside.p50_ms, "ms", "less", "p50 beside", told(beside))
        yield Figure(NAME, name, beside.p99_ms, "ms", "less", "p99 beside", told(beside))
        yield Figure(NAME, name, big.goodput, "requests/s", "more", f"{BIG}'s goodput", told(big))
