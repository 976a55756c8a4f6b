"""What complete answers add up to: absence takes three of them, and faults are no absence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead_operator.sightings import Claims, Sightings, ask, claims_of_files, claims_of_tags, look, only
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


def test_a_model_that_may_not_be_read_keeps_what_was_known() -> None:
    """It is told after three looks, and nothing of it is gone: neither the target nor who asks."""
    denied = Snapshot({}, (), {}, ("m",))
    seen = looked(Sightings(), snapshot(), denied, denied)
    assert seen.wanted["m"] == Wanted(TARGET)
    seen = looked(seen, *[denied] * 3)
    assert (seen.removed, seen.wanted["m"].target, seen.wanted["m"].gone) == (frozenset(), TARGET, None)
    assert "does not let the operator's user read the model 'm'" in seen.wanted["m"].denied
    assert looked(seen, GONE, GONE).wanted == seen.wanted, "a gone model is another answer, and counts from one"
    assert looked(seen, snapshot()).wanted["m"] == Wanted(TARGET)
    never = looked(Sightings(), *[denied] * 3).wanted["m"]
    assert (never.target, never.gone) == (None, None)
    assert never.denied


def test_a_model_that_is_gone_is_told_with_what_helps() -> None:
    """A name in another case, or one that is none."""
    absent = Snapshot({}, ("m",), {}, hints={"m": "it has 'M'"})
    seen = looked(Sightings(), *[absent] * 3)
    assert seen.wanted["m"].gone == ("ModelGone", "model 'm' is gone from the registry: it has 'M'")


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


def test_a_claim_to_another_pool_is_a_fault() -> None:
    """Told, and the model is neither changed nor unloaded."""
    elsewhere = snapshot({"fairlead.serve": "true", "fairlead.pool": "gpu"})
    claims = only(claims_of_tags(elsewhere, Tags(), "champion"), ("default",))
    assert claims.served == ()
    assert "'gpu' is not allowed here" in claims.faults["m"]
    seen = looked(Sightings(), snapshot())
    for _ in range(4):
        seen = look(seen, claims, elsewhere, HELD)
    assert seen.claims["m"].pool == "default"


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
    assert [(lost.claim.model, lost.winner.model) for lost in seen.set_aside] == [("young", "old")]
    held = look(Sightings(), both, nothing, {"shop": "young"})
    assert held.claims["shop"].model == "young"


NOTHING = Snapshot({}, (), {})


def objects(*claims: Served, faults: dict[str, str] | None = None) -> Claims:
    """A complete list of a cluster's ServedModels."""
    return Claims(claims, faults or {}, by_tags=False, certain=True)


def test_two_objects_for_one_model_and_name() -> None:
    """The same model does not make one claim of two objects: the second is told, whatever their order."""
    first, second = (Served("shop", "m", "champion", created=t, ref=f"team-{t}/shop") for t in (1, 2))
    for claims in (objects(first, second), objects(second, first)):
        seen = ask(Sightings(), claims, {})
        assert seen.claims["shop"] == first
        assert [(lost.claim.ref, lost.winner.ref) for lost in seen.set_aside] == [("team-2/shop", "team-1/shop")]
    begun = ask(Sightings(), objects(second), {})
    assert ask(begun, objects(first, second), {"shop": "m"}).claims["shop"] == second, "the holder keeps it"


def test_an_object_that_is_gone_is_gone_at_once() -> None:
    """Kubernetes is certain of its own objects; the other claim to the name takes over in the same look."""
    first, second = (Served("shop", "m", "champion", created=t, ref=f"team-{t}/shop") for t in (1, 2))
    seen = ask(Sightings(), objects(first, second), {})
    assert ask(seen, objects(), {"shop": "m"}).removed == {"shop"}
    after = ask(seen, objects(second), {"shop": "m"})
    assert after.claims["shop"] == second
    assert (after.removed, after.set_aside) == (frozenset(), ())


def test_an_object_that_cannot_be_read_keeps_its_name() -> None:
    """It is there: what it asked for last stays in force, and another claim to its name does not take it."""
    first, second = (Served("shop", "m", "champion", created=t, ref=f"team-{t}/shop") for t in (1, 2))
    seen = ask(Sightings(), objects(first), {})
    seen = ask(seen, objects(second, faults={"team-1/shop": "a hold of -1 s"}), {"shop": "m"})
    assert seen.claims["shop"] == first
    assert [lost.claim.ref for lost in seen.set_aside] == ["team-2/shop"]


def test_between_two_answers_nothing_of_the_registry_is_counted() -> None:
    """However often the objects change, an alias that was not seen once has not been missed three times."""
    claim = Served("m", "m", "champion", ref="a/m")
    seen = look(Sightings(), objects(claim), snapshot(), {})
    seen = look(seen, objects(claim), snapshot(aliases={"other": "1"}), HELD)
    for _ in range(5):
        seen = ask(seen, objects(claim), HELD)
    assert seen.wanted["m"] == Wanted(TARGET)
    assert look(seen, objects(claim), snapshot(aliases={"other": "1"}), HELD).wanted["m"] == Wanted(TARGET)


def test_what_the_registry_had_for_another_alias_is_not_taken() -> None:
    """A changed object waits for the registry's next answer."""
    seen = look(Sightings(), objects(Served("m", "m", "champion", ref="a/m")), snapshot(), {})
    assert ask(seen, objects(Served("m", "m", "next", ref="a/m")), HELD).wanted == {}


def test_a_tag_that_is_missed_once_gives_the_name_to_nobody() -> None:
    """Two models claim one name: the holder's has to be gone for three looks."""
    old, young = Served("shop", "old", "champion", created=1), Served("shop", "young", "champion", created=2)
    both = Snapshot({name: RegisteredModel(name, 1, {}, {}) for name in ("old", "young")}, (), {})
    seen = look(Sightings(), Claims((old, young)), both, {})
    for winner in ("old", "old", "young"):
        seen = look(seen, Claims((young,)), both, {"shop": "old"})
        assert seen.claims["shop"].model == winner


# --- any order of objects that come, change, break and go

NAMES, REFS = ("shop", "news"), ("a/1", "b/2", "c/3")
changes = st.lists(
    st.tuples(st.sampled_from(REFS), st.sampled_from(["gone", "broken", *NAMES]), st.sampled_from(["m", "n"])),
    max_size=12,
)


@given(changes, st.booleans())
def test_each_name_has_one_holder_who_keeps_it(changes: list[tuple[str, str, str]], asked: bool) -> None:
    """Of the objects that can be read each has its name or is told who has it; who has it keeps it while there."""
    found: dict[str, Served | None] = {}
    seen = Sightings()
    for ref, what, model in changes:
        if what == "gone":
            found.pop(ref, None)
        else:
            found[ref] = None if what == "broken" else Served(what, model, "champion", created=REFS.index(ref), ref=ref)
        claims = objects(
            *(claim for claim in found.values() if claim),
            faults={ref: "broken" for ref, claim in found.items() if claim is None},
        )
        before, holders = seen, {served: claim.model for served, claim in seen.claims.items()}
        seen = ask(seen, claims, holders) if asked else look(seen, claims, snapshot(), holders)
        for claim in claims.served:
            (lost,) = [lost for lost in seen.set_aside if lost.claim is claim] or [None]
            assert (seen.claims[claim.served] is claim) != (
                lost is not None and lost.winner is seen.claims[claim.served]
            )
        for served, holder in before.claims.items():
            now = found.get(holder.ref)
            keeps = holder.ref in found and (now is None or now.served == served)
            assert not keeps or seen.claims[served].ref == holder.ref
            assert served in seen.claims or served in seen.removed
        assert all(claim.ref in found for claim in seen.claims.values())
