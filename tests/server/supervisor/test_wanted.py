"""What has to stay until the newest document is in effect."""

from __future__ import annotations

import msgspec
from server.supervisor.replicas import document

from fairlead_server.models.parsing import Parsed, parse
from fairlead_server.supervisor.orders import by_urgency, opening_entries, worker_entry
from fairlead_server.supervisor.wanted import Kept, Wanted


def parsed(generation: int, **models: dict[str, str]) -> Parsed:
    return parse(document(generation, models))


def versions(wanted: Wanted) -> set[tuple[str, str]]:
    return {(model, version) for model, version, _ in by_urgency(wanted)}


def test_the_good_entry_stays_until_the_newest_is_in_effect() -> None:
    """Its versions are wanted, first, until then; and not afterwards."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}))
    wanted.settle("a")
    assert wanted.take(parsed(2, a={"2": "s"})) == ["a"]
    assert next(iter(by_urgency(wanted)))[:2] == ("a", "1")
    assert versions(wanted) == {("a", "1"), ("a", "2")}
    wanted.settle("a")
    assert versions(wanted) == {("a", "2")}


def test_what_did_not_change_is_still_settled() -> None:
    """Another generation with the same entry changes nothing for its model."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}, b={"1": "s"}))
    wanted.settle("a")
    assert wanted.take(parsed(2, a={"1": "s"}, b={"2": "s"})) == ["b"]
    assert wanted.is_settled("a")


def test_a_model_that_is_left_out_is_gone_with_its_good_entry() -> None:
    """The catalog is the whole wanted set."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}))
    wanted.settle("a")
    assert wanted.take(parsed(2)) == ["a"]
    assert versions(wanted) == set()


def test_what_older_documents_hold_survives_a_restart() -> None:
    """The kept entries, written before the document, give the next process the same picture."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}, b={"1": "s"}))
    wanted.settle("a")
    wanted.settle("b")
    second = parsed(2, a={"2": "s"}, b={"1": "s"})
    faulty = Parsed(msgspec.structs.replace(second.catalog, models={"a": second.catalog.models["a"]}), {"b": "broken"})
    kept = msgspec.json.decode(msgspec.json.encode(wanted.kept_after(faulty)), type=Kept)
    again = Wanted(kept)
    again.take(faulty)
    assert versions(again) == {("a", "1"), ("a", "2"), ("b", "1")}
    assert (again.faults, again.good("a") is not None) == ({"b": "broken"}, True)


def test_a_new_worker_starts_from_what_works() -> None:
    """The good entry where the newest is not in effect; a model that never was is left to those that accept."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}, b={"1": "s"}))
    wanted.settle("a")
    wanted.settle("b")
    wanted.take(parsed(2, a={"2": "s"}, b={"1": "s"}, c={"1": "s"}))
    newest = {model: worker_entry(model, entry, lambda *_: None) for model, entry in wanted.entries.items()}
    later = opening_entries(wanted, newest, lambda *_: None, True)
    assert {model: list(entry.versions) for model, entry in later.items()} == {"a": ["1"], "b": ["1"]}
    assert "c" in opening_entries(wanted, newest, lambda *_: None, False)
