"""Single requests of an open loop, and what they come to.

In an open loop a request is due at a fixed time, whatever became of those before it. Its latency counts from then, so
that a generator, or a server, that falls behind cannot hide it. This module knows no generator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmark.figures import Load

Times = np.ndarray[Any, np.dtype[np.floating[Any]]]
_EDGE = 0.01  # the share of requests that may be missing at the schedule's end without being told


class Hits(NamedTuple):
    """`due_s` are seconds since the schedule began, `latency_ms` counts from then to the answer; `status` is "" for a
    good answer, else why it was none. `expected` is how many the schedule held. All are in the order of `due_s`."""

    generator: str
    due_s: Times
    latency_ms: Times
    status: Sequence[str]
    expected: int
    cpu_s: float = 0.0  # the generator's own


def on_schedule(
    generator: str, sent_s: Times, took_s: Times, status: Sequence[str], interval_s: float, expected: int
) -> Hits:
    """Hits out of what a generator tells: when it sent (any clock, in order of the schedule) and how long that took.

    Nothing is sent before it is due, so the schedule began when the least late of all requests says.
    """
    due = np.arange(len(sent_s), dtype=np.float64) * interval_s
    if not len(sent_s):
        return Hits(generator, due, due, status, expected)
    late = (sent_s - sent_s[0]) - due
    late -= late.min()
    return Hits(generator, due, (late + took_s) * 1e3, status, expected)


def load_of(hits: Hits, deadline_ms: float = 0.0) -> Load:
    """The sum of all hits. Percentiles are over the good answers, each a latency that occurred."""
    good = np.fromiter((not status for status in hits.status), bool, len(hits.status))
    latencies = hits.latency_ms[good]
    failed = Counter(status for status in hits.status if status)
    unsent = hits.expected - len(hits.status)
    if unsent > _EDGE * hits.expected:
        failed["never sent"] = unsent
    schedule = _schedule_s(hits)
    ends = float((hits.due_s + hits.latency_ms / 1e3).max(initial=schedule))
    on_time = int((latencies <= deadline_ms).sum()) if deadline_ms else len(latencies)
    p50, p99, p999, most = percentiles(latencies)
    return Load(
        generator=hits.generator,
        seconds=ends,
        sent=len(hits.status),
        good=len(latencies),
        failed=dict(failed),
        rate=len(latencies) / ends if ends else 0.0,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        most_ms=most,
        late=len(latencies) - on_time,
        goodput=on_time / schedule if schedule else 0.0,
        busy=hits.cpu_s / ends if ends else 0.0,
    )


def percentiles(latencies: Times) -> tuple[float, float, float, float]:
    """p50, p99, p99.9 (nearest rank) and the greatest; zeros where there are none."""
    if not len(latencies):
        return 0.0, 0.0, 0.0, 0.0
    ordered, count = np.sort(latencies), len(latencies)
    p50, p99, p999 = (float(ordered[-(-count * rank // 1000) - 1]) for rank in (500, 990, 999))
    return p50, p99, p999, float(ordered[-1])


def between(hits: Hits, begin_s: float, end_s: float) -> Hits:
    """Those that were due in a part of the schedule, which `expected` is then the number of."""
    first, last = np.searchsorted(hits.due_s, [begin_s, end_s]).tolist()
    part = slice(first, last)
    return Hits(hits.generator, hits.due_s[part], hits.latency_ms[part], hits.status[part], last - first)


def _schedule_s(hits: Hits) -> float:
    """The schedule's length: the last interval counts."""
    count = len(hits.due_s)
    return float((hits.due_s[-1] - hits.due_s[0]) * count / (count - 1)) if count > 1 else 0.0
