"""Adds up the counters of all workers that there have been. Totals of ended workers stay, their gauges go.

A worker tells cumulative counts of what it holds, as they change; a version that it closed is told once, and a
worker's restart begins at zero: both are folded into the totals of the past.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fairlead_server.link.messages import Counts, Histogram, VersionCounts
from fairlead_server.models.status import Readings

Key = tuple[str, str]  # model, version
MOST_PAST = 5000  # totals of versions that no worker holds; the oldest go first


class Ledger:
    def __init__(self) -> None:
        self._live: dict[str, dict[str, VersionCounts]] = {}  # by worker and uid
        self._live_refused: dict[str, dict[str, int]] = {}
        self._past: dict[Key, VersionCounts] = {}
        self._past_refused: dict[str, int] = {}

    def update(self, worker: str, counts: Counts) -> None:
        live = self._live.setdefault(worker, {})
        self._fold([live.pop(uid) for uid in counts.closed if uid in live])
        live.update(counts.versions)
        self._live_refused[worker] = counts.refused

    def end(self, worker: str) -> None:
        self._fold(self._live.pop(worker, {}).values())
        self._past_refused = added(self._past_refused, self._live_refused.pop(worker, {}))

    def totals(self) -> dict[Key, VersionCounts]:
        """By model and version, over the living and the ended."""
        totals = dict(self._past)
        for versions in self._live.values():
            for held in versions.values():
                _into(totals, held)
        return totals

    def refused(self) -> dict[str, int]:
        total = self._past_refused
        for refused in self._live_refused.values():
            total = added(total, refused)
        return total

    def _fold(self, ended: Iterable[VersionCounts]) -> None:
        for held in ended:
            past = msgspec.structs.replace(held, queued_rows=0, leases=0)
            _into(self._past, past)
        while len(self._past) > MOST_PAST:
            del self._past[next(iter(self._past))]


def readings(total: VersionCounts) -> Readings:
    return Readings(
        requests=total.requests,
        failures=total.failures,
        rows=total.rows,
        runs=total.runs,
        request_us=total.request_us,
        queue_us=total.queue_us,
        compute_us=total.infer_us,
    )


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one | other}


def _into(totals: dict[Key, VersionCounts], more: VersionCounts) -> None:
    key = (more.model, more.version)
    totals[key] = sum_of(totals[key], more) if key in totals else more


def sum_of(one: VersionCounts, other: VersionCounts) -> VersionCounts:
    def plus(name: str) -> int:
        return int(getattr(one, name)) + int(getattr(other, name))

    return VersionCounts(
        model=one.model,
        version=one.version,
        failures=added(one.failures, other.failures),
        latency=_histogram(one.latency, other.latency),
        batch_rows=_histogram(one.batch_rows, other.batch_rows),
        **{name: plus(name) for name in _NUMBERS},
    )


_NUMBERS = (
    "requests", "rows", "runs", "request_us", "queue_us", "input_us", "infer_us", "output_us", "queued_rows", "leases",
    "run_us", "later_us",
)  # fmt: skip


def _histogram(one: Histogram, other: Histogram) -> Histogram:
    if not one.counts or not other.counts:
        return one if one.counts else other
    return Histogram([a + b for a, b in zip(one.counts, other.counts, strict=True)], one.sum + other.sum)
