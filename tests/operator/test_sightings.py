"""What complete answers add up to: absence takes three of them, and faults are no absence."""

from __future__ import annotations

from fairlead_operator.sightings import Claims, Sightings, claims_of_files, claims_of_tags, look
from fairlead_operator.spec import Served, Tags
from fairlead_operator.state import RegisteredModel, Snapshot, Target, Wanted

TARGET = Target("1", "/m/1")
HELD = {"m": "m"}


def snapshot(
    tags: dict[str, str] | None = None, aliases: dict[str, str] | None = None, *, known: bool = True
) -> Snapshot:
    model = RegisteredModel("m", 5, {"fairlead.serve": "true"} if tags is None else tags, aliases or {"champion": "1"})
    return Snapshot({"m": model}, (), {"m": {"1": TARGET if known else None}})


GONE = Snapshot({}, ("m",), {})


def looked(old: Sightings, *snapshots: Snapshot, holders: dict[str, str] | None = None) -> Sightings:
    for one in snapshots:
        old = look(old, claims_of_tags(one, Tags(), "champion"), one, HELD if holders is None else holders)
    return old


def test_a_tagged_model_is_asked_for_at_once() -> None:
    """One complete answer is enough to begin."""
    seen = looked(Sightings(), snapshot(), holders={})
    assert seen.claims["m"].alias == "champion"
    assert seen.wanted["m"] == Wanted(TARGET)


def test_a_removed_tag_counts_after_three_looks_in_a_row() -> None:
    """Twice away and back is not three times away."""
    seen = looked(Sightings(), snapshot(), snapshot({}), snapshot({}))
    assert seen.wanted["m"] == Wanted(TARGET)
    assert seen.removed == frozenset()
    seen = looked(seen, snapshot(), snapshot({}), snapshot({}))
    assert seen.removed == frozenset()
    assert looked(seen, snapshot({})).removed == {"m"}


def test_a_removed_tag_is_noticed_by_an_operator_that_never_saw_it() -> None:
    """What the catalog serves and the registry, having it, does not ask for."""
    assert looked(Sightings(), *[snapshot({})] * 3).removed == {"m"}


def test_a_model_that_is_gone_is_no_removal() -> None:
    """Its tags went with it: the version keeps serving, with a condition."""
    seen = looked(Sightings(), snapshot(), GONE, GONE)
    assert seen.wanted["m"] == Wanted(TARGET)
    seen = looked(seen, GONE)
    assert seen.removed == frozenset()
    assert seen.wanted["m"].gone is not None
    assert seen.wanted["m"].gone[0] == "ModelGone"


def test_an_alias_and_a_version_that_are_gone() -> None:
    """Each is told by its own condition, after three looks."""
    seen = looked(Sightings(), *[snapshot(aliases={"other": "1"})] * 3)
    assert seen.wanted["m"].gone == ("AliasGone", "no version of 'm' has the alias 'champion'")
    seen = looked(seen, *[snapshot(known=False)] * 3)
    assert seen.wanted["m"].gone is not None
    assert seen.wanted["m"].gone[0] == "VersionGone"
    assert looked(seen, snapshot()).wanted["m"] == Wanted(TARGET)


def test_a_claim_that_cannot_be_read_keeps_the_last_one() -> None:
    """A broken tag is a fault: the model is neither changed nor unloaded."""
    seen = looked(Sightings(), snapshot())
    broken = snapshot({"fairlead.serve": "true", "fairlead.hold": "soon"})
    seen = looked(seen, *[broken] * 5)
    assert seen.removed == frozenset()
    assert seen.claims["m"].hold_s is None
    assert "soon" in seen.faults["m"]
    elsewhere = looked(seen, snapshot({"fairlead.serve": "true", "fairlead.pool": "gpu"}))
    assert "'gpu' is not allowed here" in elsewhere.faults["m"]


def test_a_folder_with_a_broken_file_takes_nothing_away() -> None:
    """What the unreadable file holds is not known; a folder that can be read is complete."""
    claim = Served("shop", "m", "champion")
    one = snapshot()
    seen = look(Sightings(), claims_of_files([claim], {}), one, {})
    for _ in range(5):
        seen = look(seen, claims_of_files([], {"shop.yaml": "broken"}), one, {"shop": "m"})
    assert seen.removed == frozenset()
    for _ in range(3):
        seen = look(seen, claims_of_files([], {}), GONE, {"shop": "m"})
    assert seen.removed == {"shop"}


def test_of_two_claims_the_holder_then_the_older_wins() -> None:
    """The name is not taken from whoever serves under it, whatever their age."""
    old, young = Served("shop", "old", "champion", created=1), Served("shop", "young", "champion", created=2)
    both = Claims((young, old))
    nothing = Snapshot({}, (), {})
    seen = look(Sightings(), both, nothing, {})
    assert seen.claims["shop"].model == "old"
    assert [(lost.claim.model, lost.winner) for lost in seen.set_aside] == [("young", "old")]
    held = look(Sightings(), both, nothing, {"shop": "young"})
    assert held.claims["shop"].model == "young"
