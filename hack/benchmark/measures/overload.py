"""Twice as much as a server can do, and a deadline on each request: how much of its capacity is still of use?

    closed loop -> capacity -> open loop at 2.0 of it -> goodput | open loop at 0.8 of it -> in time

Requests arrive at equal intervals whatever becomes of those before them, and the client counts: an answer is good
that comes within the deadline after its request was due. Every server is told the deadline, by Triton's parameter
`timeout` (microseconds); what it makes of it is its own affair. Capacity is each server's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from benchmark.answers import check
from benchmark.figures import Figure, Load
from benchmark.load.calls import call_of
from benchmark.load.generator import GeneratorFailed
from benchmark.load.loops import closed_loop, open_loop
from benchmark.measure import Bench
from benchmark.subject import Endpoint, Wire

NAME, MODEL = "overload", "bert"
WIRE: Wire = "binary"  # its answers as text would be most of the work
DEADLINE_MS = 50.0
DEADLINE: Mapping[str, int] = {"timeout": int(DEADLINE_MS * 1000)}
MORE, LESS = 2.0, 0.8
IN_FLIGHT = 8
GIVE_UP_S = 2.0  # who has not been answered by then does not wait any longer: a server's queue has to end somewhere
_WARM_UP_S = 2.0
_SETTLE_S = 3.0  # what an overload left behind is run, or given up
_QUICK_S = 2.0


class Overload:
    names = (NAME,)
    needs = (MODEL,)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in bench.subjects.values():
            if subject.role == "limit" or WIRE not in subject.protocols:
                continue
            bench.say(f"{subject.name}: {NAME}, {MODEL}")
            try:
                with subject.serve([bench.models[MODEL]], bench.threads) as endpoint:
                    check(endpoint, bench.models[MODEL], WIRE)
                    yield from self._loaded(bench, subject.name, endpoint)
            except Exception as fault:  # the others go on
                bench.fail(f"{subject.name}, {NAME}: {fault}")

    def _loaded(self, bench: Bench, name: str, endpoint: Endpoint) -> Iterator[Figure]:
        plain = call_of(WIRE, endpoint, bench.models[MODEL])
        timed = call_of(WIRE, endpoint, bench.models[MODEL], parameters=DEADLINE, timeout_s=GIVE_UP_S)
        seconds = _QUICK_S if bench.quick else 2 * bench.seconds
        closed_loop(plain, IN_FLIGHT, _WARM_UP_S)
        capacity = closed_loop(plain, IN_FLIGHT, seconds)
        if not capacity.good:
            raise GeneratorFailed(f"nothing was answered: {capacity.failed}")
        yield Figure(
            NAME, name, capacity.rate, "requests/s", "more", "capacity", f"{IN_FLIGHT} connections, HTTP binary"
        )
        for share in (LESS, MORE):
            time.sleep(_SETTLE_S)
            load = open_loop(timed, share * capacity.rate, seconds, deadline_ms=DEADLINE_MS)
            yield from _figures(name, share, load)


def _figures(subject: str, share: float, load: Load) -> Iterator[Figure]:
    in_time = 100.0 * (load.good - load.late) / max(load.sent, 1)
    note = told(load)
    if share == MORE:
        yield Figure(NAME, subject, load.goodput, "requests/s", "more", f"goodput at {share:.1f}", note)
    yield Figure(NAME, subject, in_time, "%", "more", f"in time at {share:.1f}", note)


def told(load: Load) -> str:
    """What became of the others."""
    failed = ", ".join(f"{count} {kind}" for kind, count in load.failed.items()) or "none failed"
    return f"{load.sent} sent, {load.late} answered late, {failed}; p99 {load.p99_ms:.1f} ms"
