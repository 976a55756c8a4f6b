"""A version's counters as a message."""

from __future__ import annotations

from fairlead_server.batching.counts import Counts
from fairlead_server.worker.counting import Counted, Tally, version_counts


def test_the_message_is_a_copy_of_the_attributes() -> None:
    """What is counted later does not change what was sent."""
    counts = Counts()
    counts.requests, counts.request_us = 2, 700
    counts.failed("invalid")
    counts.latency.add(350)
    sent = version_counts("churn", "3", counts, leases=1)
    counts.failed("invalid")
    counts.latency.add(350)
    assert (sent.model, sent.version, sent.requests, sent.request_us, sent.leases) == ("churn", "3", 2, 700, 1)
    assert (sent.failures, sum(sent.latency.counts), sent.latency.sum) == ({"invalid": 1}, 1, 350)


def test_only_what_has_changed_is_told() -> None:
    """A new version once, then each time that something of it moved; what is closed, once."""
    tally, counts = Tally(), Counts()

    def take(leases: int = 0) -> tuple[list[str], tuple[str, ...]]:
        others = [Counted("idle", "churn", "2", Counts(), 0)]
        changed, closed = tally.take([Counted("u", "churn", "3", counts, leases), *others])
        return list(changed), closed

    assert take() == (["u", "idle"], ())
    assert take() == ([], ())
    counts.failed("invalid")
    assert take() == (["u"], ())
    assert take(leases=1) == (["u"], ())
    assert take() == (["u"], ())
    counts.requests += 1
    assert take() == (["u"], ())
    assert tally.take([]) == ({}, ("u", "idle"))
    assert tally.take([]) == ({}, ())
