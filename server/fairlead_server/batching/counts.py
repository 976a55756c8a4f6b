"""What a version has done so far: plain attributes, cumulative, exported by someone else.

The bounds are fixed so that workers' histograms can be added up. No numpy here: the supervisor's
metrics page needs the bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# Microseconds; a request from its arrival at the batcher to its answer.
LATENCY_BOUNDS_US: tuple[float, ...] = (
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000,
)  # fmt: skip
# Rows of one run.
ROWS_BOUNDS: tuple[float, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class FixedHistogram:
    """`counts[i]` are the values up to and including `bounds[i]` and above the bound before; the last place is +Inf."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_all(self, values: Sequence[float]) -> None:
        """Some values, at least one. Those of one run are near each other, and mostly in one place."""
        place = bisect_left(self.bounds, min(values))
        if place == bisect_left(self.bounds, max(values)):
            self.counts[place] += len(values)
        else:
            for value in values:
                self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += sum(values)


class Counts:
    """One version in one worker. `requests` and `rows` are those answered well; durations are whole microseconds,
    counted once for each request (so a batch of ten adds its run ten times, as Triton's do). Two are for the size of
    the pool: `run_us` counts each run once, and `later_us` is what of `queue_us` is that of a large request's parts
    after its first, which wait for their own request's runs."""

    __slots__ = (
        "batch_rows", "failures", "infer_us", "input_us", "latency", "later_us", "output_us", "queue_us", "queued_rows",
        "request_us", "requests", "rows", "run_us", "runs",
    )  # fmt: skip

    def __init__(self) -> None:
        self.requests = 0
        self.failures: dict[str, int] = {}
        self.rows = 0
        self.runs = 0
        self.request_us = 0
        self.queue_us = 0
        self.input_us = 0
        self.infer_us = 0
        self.output_us = 0
        self.run_us = 0
        self.later_us = 0
        self.latency = FixedHistogram(LATENCY_BOUNDS_US)
        self.batch_rows = FixedHistogram(ROWS_BOUNDS)
        self.queued_rows = 0

    def ran(self, rows: int, infer_us: float) -> None:
        """Count a run that gave answers."""
        self.runs += 1
        self.run_us += int(infer_us)
        self.batch_rows.add(rows)

    def shared(
        self, requests: int, rows: int, queue_us: float, input_us: float, infer_us: float, output_us: float
    ) -> None:
        """Count what requests, and parts of large ones, had of a run: `queue_us` is the sum of theirs."""
        self.rows += rows
        self.queue_us += int(queue_us)
        self.input_us += int(requests * input_us)
        self.infer_us += int(requests * infer_us)
        self.output_us += int(requests * output_us)

    def answered(self, us: Sequence[float]) -> None:
        """Count requests that were answered well, each so long after it arrived."""
        self.requests += len(us)
        if len(us) == 1:
            self.request_us += int(us[0])
            self.latency.add(us[0])
            return
        self.request_us += int(sum(us))
        self.latency.add_all(us)

    def failed(self, kind: str) -> None:
        """Count a request that ended in an error of this kind (`Kind.value`)."""
        self.failures[kind] = self.failures.get(kind, 0) + 1
