"""models.compare: what differs between two wanted sets."""

from __future__ import annotations

from fairlead_server.models.catalog import ModelEntry, Route, VersionEntry
from fairlead_server.models.compare import Changes, changed, with_last_good


def entry(source: str = "/m/1") -> ModelEntry:
    return ModelEntry(versions={"1": VersionEntry(source=source)}, route=Route(weights={"1": 1.0}))


def test_names_are_sorted_into_added_changed_and_removed() -> None:
    """Each name is in one place; what is equal is in none."""
    old = {"same": entry(), "other": entry("/m/1"), "gone": entry()}
    new = {"same": entry(), "other": entry("/m/2"), "new": entry()}
    assert changed(old, new) == Changes(added=("new",), changed=("other",), removed=("gone",))


def test_equal_sets_differ_in_nothing() -> None:
    """The same set twice is no change."""
    assert changed({"a": entry()}, {"a": entry()}) == Changes((), (), ())


def test_a_faulty_model_keeps_its_last_good_entry() -> None:
    """A faulty model has its old entry, and none where it had none; the inputs stay as they were."""
    old, new = {"a": entry("/old"), "b": entry()}, {"b": entry("/new")}
    assert with_last_good(old, new, {"a": "why", "never": "why"}) == {"a": entry("/old"), "b": entry("/new")}
    assert new == {"b": entry("/new")}
