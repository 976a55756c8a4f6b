"""What has to stay until the newest document is in effect."""

from __future__ import annotations

import msgspec
from server.supervisor.replicas import document

from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.parsing import Parsed, parse
from fairlead_server.supervisor.orders import by_urgency, opening_entry, worker_entry
from fairlead_server.supervisor.wanted import Kept, Wanted


def parsed(generation: int, **models: dict[str, str]) -> Parsed:
    return parse(document(generation, models))


def versions(wanted: Wanted, *models: str) -> dict[str, list[tuple[int, str]]]:
    """By model the versions that must be here, each with its rank, once."""
    found = {}
    for model in models:
        ranks: dict[str, int] = {}
        for rank, version, _ in by_urgency(wanted, model):
            ranks.setdefault(version, rank)
        found[model] = [(rank, version) for version, rank in ranks.items()]
    return found


def test_the_good_entry_stays_until_the_newest_is_in_effect() -> None:
    """Its versions are wanted, first, until then; and not afterwards."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}))
    wanted.settle("a")
    assert wanted.take(parsed(2, a={"2": "s"})) == ["a"]
    assert versions(wanted, "a") == {"a": [(0, "1"), (1, "2")]}
    wanted.settle("a")
    assert versions(wanted, "a") == {"a": [(1, "2")]}


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
    assert versions(wanted, "a") == {"a": []}


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
    assert versions(again, "a", "b") == {"a": [(0, "1"), (1, "2")], "b": [(0, "1")]}
    assert (again.faults, again.good("a") is not None) == ({"b": "broken"}, True)


def test_a_new_worker_starts_from_what_works() -> None:
    """The good entry where the newest is not in effect; a model that never was is left to those that accept."""
    wanted = Wanted()
    wanted.take(parsed(1, a={"1": "s"}, b={"1": "s"}))
    wanted.settle("a")
    wanted.settle("b")
    wanted.take(parsed(2, a={"2": "s"}, b={"1": "s"}, c={"1": "s"}))
    newest = {model: worker_entry(model, entry, lambda *_: None) for model, entry in wanted.entries.items()}

    def opening(model: str, accepted_before: bool = True) -> WorkerEntry | None:
        return opening_entry(wanted, model, newest[model], lambda *_: None, accepted_before)

    told = {model: opening(model) for model in wanted.entries}
    assert {model: entry and list(entry.versions) for model, entry in told.items()} == {
        "a": ["1"],
        "b": ["1"],
        "c": None,
    }
    assert opening("c", accepted_before=False) == newest["c"]
