"""The two loops, whatever the wire: what the measures ask for.

A closed loop has a number of callers who ask again when they are answered: it tells how much a server can do. An open
loop sends at fixed times: only it tells a tail latency, or what overload does.
"""

from __future__ import annotations

from benchmark.figures import Load
from benchmark.load.calls import Call
from benchmark.load.ghz import closed_grpc as closed_ghz
from benchmark.load.ghz import open_grpc
from benchmark.load.h2load import closed_grpc as closed_h2load
from benchmark.load.hits import Hits, load_of
from benchmark.load.vegeta import open_http
from benchmark.load.wrk import closed_http


def closed_loop(call: Call, in_flight: int, seconds: float) -> Load:
    """`in_flight` callers; over HTTP each has a connection of its own. `seconds` is rounded to whole ones for HTTP."""
    if call.wire != "grpc":
        return closed_http(call, in_flight, seconds)
    closed = closed_h2load if len(call.bodies) == 1 else closed_ghz  # only ghz sends several in turn
    return closed(call, in_flight, seconds)


def open_hits(call: Call, rate: float, seconds: float) -> Hits:
    """Each request of a load of `rate` a second, at equal intervals."""
    return open_grpc(call, rate, seconds) if call.wire == "grpc" else open_http(call, rate, seconds)


def open_loop(call: Call, rate: float, seconds: float, *, deadline_ms: float = 0.0) -> Load:
    """The sum of `open_hits`. Answers later than `deadline_ms` after they were due are `late`, and no goodput; the
    server hears of the deadline only where the call says it (`parameters`, or gRPC's `timeout_s`)."""
    return load_of(open_hits(call, rate, seconds), deadline_ms)
