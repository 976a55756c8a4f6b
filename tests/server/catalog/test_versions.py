"""The worker's catalog: orders in, one action at a time out, leases in between."""

from __future__ import annotations

import pytest

from fairlead_server.catalog.news import Move, Taken
from fairlead_server.catalog.version import Close, Open
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.catalog import Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State

Catalog = WorkerCatalog[str, str]


def entry(version: str, *uids: str, aliases: dict[str, str] | None = None) -> WorkerEntry:
    """Routes all to `version`; a uid is its version and a letter for the bytes."""
    return WorkerEntry({uid[:-1]: uid for uid in uids}, aliases or {}, Route({version: 1.0}))


def load(catalog: Catalog, uid: str) -> None:
    catalog.load(uid, "churn", uid[:-1], f"open {uid}")


def open_next(catalog: Catalog) -> str:
    action = catalog.next_action()
    assert isinstance(action, Open)
    catalog.begin(action)
    catalog.warming(action.uid)
    catalog.opened(action.uid, f"handle {action.uid}")
    return action.uid


def close_next(catalog: Catalog) -> str:
    action = catalog.next_action()
    assert isinstance(action, Close)
    catalog.begin(action)
    catalog.closed(action.uid)
    return action.uid


def serving() -> Catalog:
    """Version 3 is ready and routed."""
    catalog: Catalog = WorkerCatalog()
    load(catalog, "3a")
    catalog.apply(1, {"churn": entry("3", "3a", aliases={"champion": "3"})})
    open_next(catalog)
    catalog.take_moves()
    catalog.take_news()
    return catalog


def refusal(catalog: Catalog, name: str) -> tuple[Kind, str]:
    with pytest.raises(ServingError) as caught:
        catalog.lease("churn", name)
    return caught.value.kind, caught.value.message


def test_a_version_is_opened_and_told_of_step_by_step() -> None:
    """Every state is told once, in order, and the route comes with the last."""
    catalog: Catalog = WorkerCatalog()
    assert (catalog.next_action(), catalog.caught_up, catalog.take_news()) == (None, False, None)
    load(catalog, "3a")
    catalog.apply(4, {"churn": entry("3", "3a")})
    assert catalog.take_news() == Taken(4, {"churn": "version 3 is wanted"}, {"churn": None})
    assert not catalog.caught_up
    assert open_next(catalog) == "3a"
    assert [move.state for move in catalog.take_moves()] == [State.LOADING, State.WARMING, State.READY]
    assert catalog.take_news() == Taken(4, {"churn": ""}, {"churn": {"3": 1.0}})
    assert (catalog.take_news(), catalog.caught_up) == (None, True)


def test_a_number_and_an_alias_lease_the_same_version() -> None:
    """Both name the version that answers, and the lease holds its handle."""
    catalog = serving()
    for name in ("3", "champion"):
        with catalog.lease("churn", name) as lease:
            assert (lease.version, lease.uid, lease.handle, catalog.leases) == ("3", "3a", "handle 3a", 1)
    assert catalog.leases == 0


def test_what_is_unknown_is_told_from_what_is_not_ready() -> None:
    """Unknown: NOT_FOUND with what there is. Known: NOT_READY with state and reason."""
    catalog = serving()
    load(catalog, "4a")
    catalog.apply(2, {"churn": entry("3", "3a", "4a", aliases={"champion": "3", "next": "4"})})
    assert refusal(catalog, "9") == (
        Kind.NOT_FOUND,
        "model 'churn' has no version or alias '9'; it has versions 3, 4 and aliases champion, next",
    )
    assert refusal(catalog, "next") == (Kind.NOT_READY, "model 'churn' is not ready: version 4 is wanted")
    action = catalog.next_action()
    assert isinstance(action, Open)
    catalog.begin(action)
    catalog.failed("4a", "the file ends early", final=True)
    assert refusal(catalog, "4") == (
        Kind.NOT_READY,
        "model 'churn' is not ready: version 4 is failed: the file ends early",
    )
    with pytest.raises(ServingError, match="no model 'fraud'"):
        catalog.lease("fraud", "1")
    with pytest.raises(ServingError, match="no model 'fraud'"):
        catalog.route("fraud")


def test_a_promotion_moves_the_route_and_then_closes_the_old_version() -> None:
    """Load beside, move when ready, unload when told and when the last lease is back."""
    catalog = serving()
    load(catalog, "4a")
    catalog.apply(2, {"churn": entry("4", "4a")})
    catalog.unload("3a")
    held = catalog.lease("churn", "3")
    assert catalog.route("churn") == Route({"3": 1.0})
    open_next(catalog)
    assert catalog.route("churn") == Route({"4": 1.0})
    assert catalog.versions["3a"].state is State.DRAINING
    assert catalog.next_action() is None
    held.release()
    assert close_next(catalog) == "3a"
    assert set(catalog.versions) == {"4a"}


def test_the_last_good_version_is_not_unloaded_when_its_successor_fails() -> None:
    """An early Unload waits for the route to move, however long that takes."""
    catalog = serving()
    load(catalog, "4a")
    catalog.apply(2, {"churn": entry("4", "4a")})
    catalog.unload("3a")
    action = catalog.next_action()
    assert action == Open("4a")
    catalog.begin(Open("4a"))
    catalog.failed("4a", "broken", final=True)
    assert catalog.next_action() is None
    assert catalog.lease("churn", "3").handle == "handle 3a"
    news = catalog.take_news()
    assert news == Taken(2, {"churn": "version 4 is failed: broken"}, {})
    assert catalog.caught_up


def test_a_model_left_out_is_gone_at_once_and_its_versions_drain() -> None:
    """New requests find nothing; those under way finish before the close."""
    catalog = serving()
    held = catalog.lease("churn", "3")
    catalog.apply(2, {"churn": None})
    catalog.unload("3a")
    with pytest.raises(ServingError, match="no model"):
        catalog.route("churn")
    assert catalog.take_news() == Taken(2, {}, {"churn": None})
    assert catalog.next_action() is None
    held.release()
    close_next(catalog)
    assert [move.state for move in catalog.take_moves()] == [State.DRAINING, State.CLOSED]


def test_a_failed_version_may_be_loaded_again() -> None:
    """The supervisor retries with the same uid; the way back is through wanted."""
    catalog: Catalog = WorkerCatalog()
    load(catalog, "3a")
    catalog.apply(1, {"churn": entry("3", "3a")})
    catalog.begin(Open("3a"))
    catalog.failed("3a", "the disk is full", final=False)
    assert (catalog.next_action(), catalog.caught_up) == (None, False)
    load(catalog, "3a")
    open_next(catalog)
    states = [State.LOADING, State.FAILED, State.WANTED, State.LOADING, State.WARMING, State.READY]
    assert [move.state for move in catalog.take_moves()] == states


def test_unload_before_the_open_or_after_a_failure_closes_at_once() -> None:
    """There is nothing to close, and nothing is opened for nothing."""
    catalog: Catalog = WorkerCatalog()
    load(catalog, "3a")
    catalog.unload("3a")
    assert (catalog.next_action(), catalog.take_moves()) == (None, [Move("3a", State.CLOSED)])
    load(catalog, "4a")
    catalog.begin(Open("4a"))
    catalog.unload("4a")
    catalog.failed("4a", "broken", final=False)
    assert catalog.versions == {}
    catalog.unload("9z")


def test_unload_while_opening_closes_after_the_open() -> None:
    """An open that is under way cannot be stopped; the version is closed when it is done."""
    catalog: Catalog = WorkerCatalog()
    load(catalog, "3a")
    catalog.begin(Open("3a"))
    catalog.unload("3a")
    assert catalog.next_action() is None
    catalog.opened("3a", "handle")
    assert close_next(catalog) == "3a"


def test_load_after_unload_keeps_it_or_begins_anew() -> None:
    """Before it drains the Unload is taken back; while it drains the version is closed, then opened again."""
    catalog = serving()
    catalog.unload("3a")
    load(catalog, "3a")
    catalog.apply(2, {"churn": None})
    assert catalog.versions["3a"].state is State.READY
    catalog.unload("3a")
    load(catalog, "3a")
    catalog.take_moves()
    assert close_next(catalog) == "3a"
    assert open_next(catalog) == "3a"
    states = [State.CLOSED, State.LOADING, State.WARMING, State.READY]
    assert [move.state for move in catalog.take_moves()] == states
    catalog.unload("3a")
    load(catalog, "3a")
    catalog.unload("3a")
    close_next(catalog)
    assert (catalog.versions, catalog.next_action()) == ({}, None)


def test_one_opens_and_one_closes_at_a_time_and_neither_waits_for_the_other() -> None:
    """Memory is given back while a long load runs."""
    catalog = serving()
    for uid in ("4a", "5a"):
        load(catalog, uid)
    assert catalog.next_action() == Open("4a")
    catalog.begin(Open("4a"))
    assert catalog.next_action() is None
    catalog.apply(2, {"churn": None})
    catalog.unload("3a")
    assert catalog.next_action() == Close("3a")
    catalog.begin(Close("3a"))
    assert catalog.next_action() is None
    catalog.opened("4a", "handle")
    assert catalog.next_action() == Open("5a")


def test_ready_versions_are_those_that_would_answer() -> None:
    """By number, whatever the bytes behind it."""
    catalog = serving()
    load(catalog, "4a")
    catalog.apply(2, {"churn": entry("3", "3a", "4a")})
    assert catalog.ready_versions("churn") == ["3"]
    open_next(catalog)
    assert catalog.ready_versions("churn") == ["3", "4"]
    assert catalog.models == ("churn",)


def test_the_worker_is_woken_when_the_last_lease_is_back() -> None:
    """Nobody polls."""
    woken: list[int] = []
    catalog: Catalog = WorkerCatalog(lambda: woken.append(1))
    load(catalog, "3a")
    open_next(catalog)
    catalog.apply(1, {"churn": entry("3", "3a")})
    held = catalog.lease("churn", "3")
    catalog.apply(2, {"churn": None})
    catalog.unload("3a")
    woken.clear()
    held.release()
    assert woken


def test_entries_of_many_models_settle_each_for_itself() -> None:
    """Caught up means all of them; one that waits holds up the doors, not the others' routes."""
    catalog: Catalog = WorkerCatalog()
    load(catalog, "3a")
    other = WorkerEntry({"1": "other-1"}, {}, Route({"1": 1.0}))
    catalog.apply(1, {"churn": entry("3", "3a"), "fraud": other})
    open_next(catalog)
    assert catalog.route("churn") == Route({"3": 1.0})
    assert not catalog.caught_up
    catalog.apply(2, {"fraud": None})
    assert catalog.caught_up
