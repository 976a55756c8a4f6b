"""Which route is in effect, as a table of what is wanted, what was in effect, and how far each version is."""

from __future__ import annotations

from fairlead_server.catalog.effective import Effective, Look, Standing, routed, settle
from fairlead_server.models.catalog import Match, Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State

READY = Standing(State.READY)
LOADING = Standing(State.LOADING)
BROKEN = Standing(State.FAILED, "it is cut short", final=True)
RETRIED = Standing(State.FAILED, "the disk was busy")


def look(**standings: Standing) -> Look:
    return standings.get


def entry(weights: dict[str, float], versions: dict[str, str], **more: dict[str, str]) -> WorkerEntry:
    return WorkerEntry(versions, more.get("aliases", {}), Route(weights), more.get("failed", {}))


OLD = settle(entry({"3": 1.0}, {"3": "u3"}, aliases={"champion": "3"}), None, look(u3=READY))
NEW = entry({"4": 1.0}, {"3": "u3", "4": "u4"}, aliases={"champion": "4", "next": "4"})


def weights(effective: Effective) -> dict[str, float] | None:
    return effective.route.weights if effective.route is not None else None


def test_a_routed_version_has_a_weight_or_a_match() -> None:
    """A version with weight zero is loaded and not routed; the target of a match is."""
    assert routed(Route({"3": 1.0, "4": 0.0}, matches=(Match("5", "beta", header="x"),))) == ("3", "5")


def test_the_wanted_route_is_in_effect_when_all_it_names_is_ready() -> None:
    """The move happens at once, with aliases and all, and the old version is not needed any more."""
    now = settle(NEW, OLD, look(u3=READY, u4=READY))
    assert (weights(now), now.aliases["champion"], now.needed) == ({"4": 1.0}, "4", {"u4"})
    assert (now.pending, now.settled) == ("", True)


def test_the_last_good_route_stays_while_the_new_version_loads() -> None:
    """Nothing moves before it can: the old route, its alias and its version stay; the new alias is known."""
    now = settle(NEW, OLD, look(u3=READY, u4=LOADING))
    assert (weights(now), now.needed) == ({"3": 1.0}, {"u3"})
    assert now.aliases == {"champion": "3", "next": "4"}
    assert (now.pending, now.settled) == ("version 4 is loading", False)


def test_the_last_good_route_stays_when_the_new_version_has_failed() -> None:
    """A fault inside a model fails that model's entry, which keeps its last good one, and says why."""
    now = settle(NEW, OLD, look(u3=READY, u4=BROKEN))
    assert (weights(now), now.pending) == ({"3": 1.0}, "version 4 is failed: it is cut short")
    assert now.settled


def test_the_last_good_version_stays_when_the_new_document_does_not_name_it() -> None:
    """A version that the new entry leaves out answers until its successor does."""
    now = settle(entry({"4": 1.0}, {"4": "u4"}), OLD, look(u3=READY, u4=LOADING))
    assert (now.uids, now.needed) == ({"3": "u3", "4": "u4"}, {"u3"})
    assert settle(entry({"4": 1.0}, {"4": "u4"}), now, look(u3=READY, u4=READY)).uids == {"4": "u4"}


def test_without_a_good_one_before_the_ready_part_serves_only_after_the_rest_has_failed() -> None:
    """First entry of a model: it waits for all routed versions, and does without those that failed for good."""
    wanted = entry({"3": 0.5, "4": 0.5}, {"3": "u3", "4": "u4"})
    for waiting in (LOADING, RETRIED):
        now = settle(wanted, None, look(u3=READY, u4=waiting))
        assert (weights(now), now.settled) == (None, False)
    now = settle(wanted, None, look(u3=READY, u4=BROKEN))
    assert (weights(now), now.needed, now.settled) == ({"3": 0.5}, {"u3"}, True)
    assert "cut short" in now.pending
    assert weights(settle(wanted, now, look(u3=READY, u4=READY))) == {"3": 0.5, "4": 0.5}


def test_matches_to_a_failed_version_fall_back_to_the_weights() -> None:
    """A restricted route holds no match to a version that is not there."""
    wanted = WorkerEntry({"3": "u3", "4": "u4"}, {}, Route({"3": 1.0}, None, (Match("4", "beta", header="x"),)))
    now = settle(wanted, None, look(u3=READY, u4=BROKEN))
    assert now.route == Route({"3": 1.0})


def test_when_all_have_failed_there_is_no_route_and_a_reason() -> None:
    """Settled, so that the doors of a worker do not wait for it, and not ready."""
    now = settle(entry({"3": 1.0}, {"3": "u3"}), None, look(u3=BROKEN))
    assert (now.route, now.settled, now.pending) == (None, True, "version 3 is failed: it is cut short")


def test_a_version_that_is_not_fetched_yet_is_waited_for_and_one_that_cannot_be_is_not() -> None:
    """No uid and no reason: it will come. No uid and a reason: it has failed in this replica."""
    assert not settle(entry({"3": 1.0}, {"3": ""}), None, look()).settled
    assert not settle(entry({"3": 1.0}, {}), None, look()).settled
    now = settle(entry({"3": 1.0}, {"3": ""}, failed={"3": "no such file"}), None, look())
    assert (now.settled, now.pending) == (True, "version 3 is failed: no such file")


def test_the_same_version_with_other_bytes_stands_beside_the_old_until_it_is_ready() -> None:
    """Also for a version that is not routed: who asks for it by number is answered all the time."""
    old = settle(entry({"3": 1.0}, {"3": "u3", "4": "u4"}), None, look(u3=READY, u4=READY))
    changed = entry({"3": 1.0}, {"3": "v3", "4": "v4"})
    now = settle(changed, old, look(u3=READY, u4=READY, v3=LOADING, v4=LOADING))
    assert (now.uids, now.needed) == ({"3": "u3", "4": "u4"}, {"u3", "u4"})
    now = settle(changed, now, look(u3=READY, u4=READY, v3=READY, v4=LOADING))
    assert (now.uids, now.needed) == ({"3": "v3", "4": "u4"}, {"v3", "u4"})
    now = settle(changed, now, look(u4=READY, v3=READY, v4=READY))
    assert (now.uids, now.needed) == ({"3": "v3", "4": "v4"}, {"v3"})


def test_a_route_without_weights_is_taken_as_it_is() -> None:
    """All weights zero is a wish: nothing is routed, nothing is missing."""
    now = settle(entry({"3": 0.0}, {"3": "u3"}), OLD, look(u3=READY))
    assert (weights(now), now.needed, now.pending) == ({"3": 0.0}, frozenset(), "")
