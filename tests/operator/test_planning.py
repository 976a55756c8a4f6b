"""Whose model an entry of the stored catalog is, and what the catalog remembers of models that were left out."""

from __future__ import annotations

import msgspec
import pytest

from fairlead_operator import planning
from fairlead_operator.documents import (
    CATALOG_VERSION,
    Catalog,
    ModelEntry,
    Retired,
    Route,
    VersionEntry,
    encode,
    read_catalog,
)
from fairlead_operator.plan import Limits
from fairlead_operator.planning import Planner, Scene, recalled, retired
from fairlead_operator.sightings import Sightings
from fairlead_operator.spec import Served
from fairlead_operator.state import Phase, Plan, Rollout, Stored, Target, VersionTags, Wanted
from fairlead_operator.testing import MemoryCarrier, digest_of

OVER = VersionTags("retired")


def entry(model: str = "") -> ModelEntry:
    return ModelEntry({"3": VersionEntry("/m/3", digest_of("3"))}, Route({"3": 1.0}), {"champion": "3"}, model)


def scene(stored: ModelEntry | None, claim: Served | None = None, left: dict[str, Retired] | None = None) -> Scene:
    models = {"churn": stored} if stored else {}
    catalog = Catalog(CATALOG_VERSION, 5, models, "default", (), left or {})
    sightings = Sightings()
    if claim is not None:
        sightings = Sightings({"churn": claim}, {"churn": Wanted(Target("4", "/m/4"))}, heard=True)
    return Scene(sightings, Stored(encode(catalog), catalog), {}, 5, 1000.0)


def decide(stored: ModelEntry | None, claim: Served, rollout: Rollout | None = None) -> Plan:
    planner = Planner(MemoryCarrier(), Limits(), 0.0)
    return planner.plans({"churn": rollout} if rollout else {}, scene(stored, claim))["churn"]


@pytest.mark.parametrize("rollout", [None, Rollout("churn", "B")])
def test_the_catalog_knows_whose_model_has_a_name(rollout: Rollout | None) -> None:
    """Another model's claim, with no memory or one of its own: what serves is left out first, and told by its name."""
    decided = decide(entry("A"), Served("churn", "B", "champion"), rollout)
    assert decided.entry is None
    assert (decided.rollout.model, decided.rollout.phase) == ("A", Phase.RETIRED)
    assert decided.rollout.tags == {"3": VersionTags("retired", digest_of("3"))}


@pytest.mark.parametrize("stored", [entry("A"), entry()])
def test_its_own_model_goes_on(stored: ModelEntry) -> None:
    """Also where the catalog was stored before it knew: it gets the name with the next version that is added."""
    decided = decide(stored, Served("churn", "A", "champion"))
    assert decided.entry is not None
    assert decided.entry.versions.keys() == {"3", "4"}
    assert decided.entry.model == "A"


def test_an_entry_that_does_not_grow_stays_as_it_is() -> None:
    """A name for each of thousands of models might not fit."""
    claim = Served("churn", "A", "champion")
    asked = scene(entry(), claim)
    sightings = msgspec.structs.replace(asked.sightings, wanted={"churn": Wanted(Target("3", "/m/3"))})
    asked = msgspec.structs.replace(asked, sightings=sightings)
    assert Planner(MemoryCarrier(), Limits(), 0.0).plans({}, asked)["churn"].entry == entry()


def test_what_is_untold_is_remembered_until_it_is_told() -> None:
    """By version what the registry lacks; the digest only where it lacks it, too."""
    digest = digest_of("3")
    tags = {"2": VersionTags("withdrawn"), "3": VersionTags("retired", digest)}
    left = Rollout("churn", "A", phase=Phase.RETIRED, tags=tags, written={"3": VersionTags("serving", digest)})
    untold = {"churn": Retired("A", {"2": {"status": "withdrawn"}, "3": {"status": "retired"}})}
    assert retired({"churn": left}, {}, scene(None)) == untold
    without = msgspec.structs.replace(left, written={"2": tags["2"]})
    assert retired({"churn": without}, {}, scene(None))["churn"].tags == {"3": {"status": "retired", "digest": digest}}
    assert retired({"churn": msgspec.structs.replace(left, written=tags)}, {}, scene(None)) == {}


def test_a_name_that_is_asked_for_again_keeps_what_is_untold() -> None:
    """Its object may be too new to remember it. Another model has nothing to do with it."""
    left = {"churn": Retired("A", {"2": {"status": "retired"}})}
    tags = {"2": OVER, "3": VersionTags("loading")}
    again = Rollout("churn", "A", phase=Phase.LOADING, tags=tags)
    assert retired({"churn": again}, {}, scene(entry("A"), left=left)) == left
    assert retired({"churn": again}, {}, scene(entry("A"))) == {}
    assert retired({"churn": msgspec.structs.replace(again, model="B")}, {}, scene(entry("B"), left=left)) == {}


def test_it_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than it may hold, those that were there first."""
    monkeypatch.setattr(planning, "RETIRED", 3)
    many = {
        name: Rollout(name, name, phase=Phase.RETIRED, tags={str(version): OVER for version in range(2)})
        for name in ("z", "b", "a")
    }
    assert list(retired(many, {}, scene(None))) == ["z"]


def test_what_is_recalled_is_as_it_was_left() -> None:
    """Retired; or, where the model is there again, a memory that says nothing but what is to be told."""
    known = read_catalog(encode(scene(None, left={"churn": Retired("A", {"2": {"status": "retired"}})}).stored.catalog))
    found = recalled("churn", known.retired["churn"], None, 7.0)
    assert found == Rollout("churn", "A", phase=Phase.RETIRED, since=7.0, tags={"2": OVER})
    assert recalled("churn", known.retired["churn"], entry("A"), 7.0) == Rollout("churn", "A", tags={"2": OVER})
