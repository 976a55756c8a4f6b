"""The Lease: one writes at a time, judged by one's own clock and by what changes."""

from __future__ import annotations

import asyncio

import pytest

from fairlead_operator.cluster import api
from fairlead_operator.cluster.lease import (
    ACTIVE_S,
    DURATION_S,
    FREEZE,
    RENEW_S,
    Lease,
    Sight,
    free_at,
    sighted,
    wait_s,
)
from fairlead_operator.cluster.testing import FakeApi

PATH = api.leases("ns", "it")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Candidate:
    """An operator with a clock of its own, walked by hand."""

    def __init__(self, server: FakeApi, name: str, now: float = 1000.0) -> None:
        self.clock = Clock(now)
        self.lease = Lease(server, "ns", "it", name, lambda: None, self.clock)

    def look(self, seconds: float = 0.0) -> float:
        self.clock.now += seconds
        return asyncio.run(self.lease._round(self.clock.now))


def test_nobodys_lease_is_taken_at_once() -> None:
    """And renewed every five seconds by one write, without a read."""
    server = FakeApi()
    first = Candidate(server, "first")
    assert first.look() == RENEW_S
    assert first.lease.held()
    server.calls.clear()
    first.look(RENEW_S)
    first.look(RENEW_S)
    assert server.calls == {"PUT": 2}
    assert server.objects[PATH]["spec"]["leaseTransitions"] == 1


def test_another_waits_while_the_record_changes() -> None:
    """However long, and whatever its own clock says."""
    server = FakeApi()
    first, second = Candidate(server, "first"), Candidate(server, "second", now=9e6)
    first.look()
    for _ in range(10):
        second.look(RENEW_S)
        assert not second.lease.held()
        first.look(RENEW_S)
        assert first.lease.held()


def test_an_unchanged_record_is_taken_after_its_time() -> None:
    """Not before; and the old holder has stopped writing well before that."""
    server = FakeApi()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    first.look()
    second.look()
    first.clock.now += DURATION_S - 0.1
    second.look(DURATION_S - 0.1)
    assert not second.lease.held()
    assert not first.lease.held()
    second.look(0.2)
    assert second.lease.held()
    assert server.objects[PATH]["spec"]["holderIdentity"] == "second"
    first.look()
    assert not first.lease.held()


def test_the_loser_is_passive_before_the_lease_can_be_anothers() -> None:
    """Also where each of its renewals fails: by time alone."""
    server = FakeApi()
    first = Candidate(server, "first")
    first.look()
    server.down = api.ApiFault(0, "NoAnswer", "away")
    with pytest.raises(OSError, match="away"):
        first.look(RENEW_S)
    assert first.lease.held()
    first.clock.now += ACTIVE_S - RENEW_S
    assert not first.lease.held()
    assert ACTIVE_S + api.LIMIT_S < DURATION_S


def test_a_lease_that_was_given_back_is_free() -> None:
    """An operator that ends in order lets the next one begin at once."""
    server = FakeApi()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    first.look()
    second.look()
    asyncio.run(first.lease._release())
    second.look(0.1)
    assert second.lease.held()


def test_a_deleted_lease_is_made_anew_by_one() -> None:
    """Whoever held it is passive as soon as it is told; who waited goes on waiting until it must be."""
    server = FakeApi()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    first.look()
    second.look()
    del server.objects[PATH]
    second.look(0.1)
    assert not second.lease.held()
    assert first.look(RENEW_S) < 1
    assert not first.lease.held()
    for _ in range(7):
        assert first.look(2.0) < RENEW_S
        assert second.look(2.0) < RENEW_S
    second.look(DURATION_S - 14)
    assert second.lease.held()
    first.look(1.0)
    assert not first.lease.held()
    assert server.objects[PATH]["spec"]["holderIdentity"] == "second"


def test_a_deleted_lease_that_was_read_is_not_held() -> None:
    """Also where the look after another's write finds none."""
    server = FakeApi()
    first = Candidate(server, "first")
    first.look()
    server.edit(PATH)
    assert first.look(RENEW_S) < 1
    del server.objects[PATH]
    first.look(0.1)
    assert not first.lease.held()


def test_a_freeze_is_read_with_the_renewal() -> None:
    """The annotation is a write that meets ours: it is looked at, at once."""
    server = FakeApi()
    first = Candidate(server, "first")
    first.look()
    metadata = server.objects[PATH]["metadata"]
    server.edit(PATH, metadata={**metadata, "annotations": {FREEZE: "incident 7"}})
    assert first.look(RENEW_S) < 1
    first.look(0.1)
    assert first.lease.held()
    assert first.lease.frozen == "incident 7"
    first.look(RENEW_S)
    assert first.lease.frozen == "incident 7"
    assert server.objects[PATH]["metadata"]["annotations"] == {FREEZE: "incident 7"}


def test_it_is_looked_at_when_it_becomes_free() -> None:
    """Not a moment of the fifteen seconds is added by the pauses between looks."""
    sight = Sight({"holderIdentity": "x", "leaseDurationSeconds": 15}, 100.0)
    assert sighted(sight, dict(sight.record), 110.0) is sight
    assert sighted(sight, {**sight.record, "renewTime": "later"}, 110.0).since == 110.0
    assert free_at(sight) == 115.0
    assert (wait_s(sight, 100.0), wait_s(sight, 114.5)) == (2.0, 0.5)
    assert free_at(Sight({"holderIdentity": "x", "leaseDurationSeconds": 60}, 100.0)) == 160.0
