"""The counters of a worker as messages: read from plain attributes, once a second, off the requests' path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fairlead_server.batching.counts import Counts as VersionAttributes
from fairlead_server.batching.counts import FixedHistogram
from fairlead_server.link.messages import Histogram, VersionCounts


class Counted(NamedTuple):
    """A version that is open, and how many requests hold it."""

    uid: str
    model: str
    version: str
    counts: VersionAttributes
    leases: int


class Tally:
    """What the supervisor was told last, so that of thousands of versions only those are told that had requests."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, ...]] = {}

    def take(self, versions: Iterable[Counted]) -> tuple[dict[str, VersionCounts], tuple[str, ...]]:
        """Of all that are open: those that have changed, by uid; and the uids of those that were told, and are open
        no more."""
        changed: dict[str, VersionCounts] = {}
        told: dict[str, tuple[int, ...]] = {}
        for held in versions:
            told[held.uid] = mark = _mark(held)
            if self._told.get(held.uid) != mark:
                changed[held.uid] = version_counts(held.model, held.version, held.counts, held.leases)
        closed = tuple(uid for uid in self._told if uid not in told)
        self._told = told
        return changed, closed


def _mark(held: Counted) -> tuple[int, ...]:
    """Whatever is counted moves one of these."""
    counts = held.counts
    failed = sum(counts.failures.values()) if counts.failures else 0
    return counts.requests, counts.rows, counts.runs, failed, counts.queued_rows, held.leases


def version_counts(model: str, version: str, counts: VersionAttributes, leases: int) -> VersionCounts:
    return VersionCounts(
        model=model,
        version=version,
        requests=counts.requests,
        failures=dict(counts.failures),
        rows=counts.rows,
        runs=counts.runs,
        request_us=counts.request_us,
        queue_us=counts.queue_us,
        input_us=counts.input_us,
        infer_us=counts.infer_us,
        output_us=counts.output_us,
        latency=_histogram(counts.latency),
        batch_rows=_histogram(counts.batch_rows),
        queued_rows=counts.queued_rows,
        leases=leases,
        run_us=counts.run_us,
        later_us=counts.later_us,
    )


def _histogram(histogram: FixedHistogram) -> Histogram:
    return Histogram(list(histogram.counts), histogram.sum)
