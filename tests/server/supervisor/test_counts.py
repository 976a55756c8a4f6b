"""Counters of many workers as one: totals never fall, gauges follow the living."""

from __future__ import annotations

from fairlead_server.link.messages import Counts, Histogram, VersionCounts
from fairlead_server.supervisor.counts import Ledger, readings


def held(requests: int, queued: int = 0) -> VersionCounts:
    histogram = Histogram([requests, 0], float(requests))
    return VersionCounts(
        "m", "1", requests, {"rejected": 1}, requests, requests, 10, 1, 1, 7, 1, histogram, histogram, queued, queued
    )


def told(requests: int, queued: int = 0, closed: tuple[str, ...] = (), **more: VersionCounts) -> Counts:
    changed = {"u": held(requests, queued), **more} if requests else dict(more)
    return Counts(changed, {"invalid": 1}, 0, 0, 0.0, closed)


def test_totals_of_ended_workers_stay_and_their_gauges_go() -> None:
    """The sum over the living and the dead."""
    ledger = Ledger()
    ledger.update("w1", told(5, queued=3))
    ledger.update("w2", told(2, queued=1))
    ledger.end("w1")
    total = ledger.totals()["m", "1"]
    assert (total.requests, total.queued_rows, total.latency.counts) == (7, 1, [7, 0])
    assert readings(total).failures == {"rejected": 2}
    assert ledger.refused() == {"invalid": 2}


def test_a_version_that_a_worker_closed_keeps_its_total() -> None:
    """Its gauges go, and when it begins again it begins at zero."""
    ledger = Ledger()
    ledger.update("w1", told(5, queued=3))
    ledger.update("w1", told(0, closed=("u", "never told")))
    assert ledger.totals()["m", "1"].queued_rows == 0
    ledger.update("w1", told(2))
    ledger.end("w1")
    assert ledger.totals()["m", "1"].requests == 7


def test_what_is_not_told_again_has_not_changed() -> None:
    """A worker tells only what moved since the last time."""
    ledger = Ledger()
    ledger.update("w1", told(5, v=held(4)))
    ledger.update("w1", told(0))
    ledger.update("w1", told(6))
    assert ledger.totals()["m", "1"].requests == 10


def test_the_same_version_under_two_uids_is_one_line() -> None:
    """New settings make a new uid; the reader knows models and versions."""
    ledger = Ledger()
    ledger.update("w1", told(5, v=held(4)))
    assert ledger.totals()["m", "1"].requests == 9


def test_totals_never_fall() -> None:
    """Whatever ends or closes in whatever order."""
    ledger, last = Ledger(), 0
    for step, worker in enumerate(["w1", "w2", "w1", "w2"]):
        ledger.update(worker, told(step + 1))
        now = ledger.totals()["m", "1"].requests
        assert now >= last
        last = now
    for worker in ("w1", "w2", "w2"):
        ledger.end(worker)
        assert ledger.totals()["m", "1"].requests == last
