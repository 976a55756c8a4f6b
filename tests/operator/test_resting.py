"""A rollout at rest is not planned again, until something changes that plans read."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from operator_site import Site

from fairlead_operator import resting
from fairlead_operator.documents import Readings, ReplicaStatus, Smoke
from fairlead_operator.plan import Limits, plan
from fairlead_operator.state import Observed, Rollout, Target, Wanted
from fairlead_operator.testing import digest_of, signature

NOW = 5000.0
LIMITS = Limits(50.0, 100.0)


def observed(site: Site) -> Observed:
    replicas = {address: replica.status() for address, replica in site.fleet.replicas.items()}
    return Observed(site.entry(), 3, replicas, site.sightings.wanted["m"], 4, 0.0)


@pytest.fixture
def site() -> Site:
    """Version 1 serves."""
    site = Site()
    site.registry.register("m", "/m/1", "/m/2")
    site.registry.promote("m", "1")
    site.run()
    return site


def rested(site: Site, seen: Observed) -> tuple[resting.Rest | None, Rollout]:
    claim, rollout = site.sightings.claims["m"], site.records.rollouts["m"]
    decided = plan(claim, rollout, seen, NOW, LIMITS)
    shared = resting.common(LIMITS, seen.generation, seen.replicas)
    return resting.rest(claim, rollout, seen, decided, shared), decided.rollout


def first(change: Callable[[ReplicaStatus], ReplicaStatus]) -> Callable[[Observed], Observed]:
    """The change made to one replica's status."""

    def changed(seen: Observed) -> Observed:
        address, status = next(iter(seen.replicas.items()))
        assert not isinstance(status, str)
        return msgspec.structs.replace(seen, replicas={**seen.replicas, address: change(status)})

    return changed


def version(**more: object) -> Callable[[Observed], Observed]:
    def change(status: ReplicaStatus) -> ReplicaStatus:
        model = status.models["m"]
        new = msgspec.structs.replace(model.versions["1"], **more)
        return msgspec.structs.replace(
            status, models={"m": msgspec.structs.replace(model, versions={**model.versions, "1": new})}
        )

    return first(change)


def model(**more: object) -> Callable[[Observed], Observed]:
    return first(lambda s: msgspec.structs.replace(s, models={"m": msgspec.structs.replace(s.models["m"], **more)}))


CHANGES: list[tuple[str, Callable[[Observed], Observed], bool]] = [
    ("nothing", lambda seen: seen, True),
    ("traffic", version(readings=Readings(requests=7)), True),
    (
        "a newer catalog that all have",
        lambda seen: msgspec.structs.replace(seen, generation=2, next_generation=9),
        True,
    ),
    ("a later confirmation", model(applied=99), True),
    ("a state", version(state="failed"), False),
    ("a reason", version(reason="it is tried again"), False),
    ("a digest", version(digest=digest_of("x")), False),
    ("a final failure", version(final=True), False),
    ("a signature", version(signature=signature("x")), False),
    ("a smoke prediction", version(profile=None), False),
    ("a version", model(versions={}), False),
    ("a route", model(route={}), False),
    ("a confirmation taken back", model(applied=0), False),
    ("what a replica waits for", model(reason="no memory"), False),
    ("a replica gone", lambda seen: msgspec.structs.replace(seen, replicas={}), False),
    (
        "a replica silent",
        lambda seen: msgspec.structs.replace(seen, replicas=dict.fromkeys(seen.replicas, "no")),
        False,
    ),
    ("a replica behind", first(lambda status: msgspec.structs.replace(status, generation=1)), False),
    ("a model gone", first(lambda status: msgspec.structs.replace(status, models={})), False),
    ("the target", lambda seen: msgspec.structs.replace(seen, wanted=Wanted(Target("2", "/m/2"))), False),
    ("no room for more", lambda seen: msgspec.structs.replace(seen, full="it does not fit"), False),
    ("the entry", lambda seen: msgspec.structs.replace(seen, entry=None), False),
]


@pytest.mark.parametrize(("change", "rests"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_ends_a_rest(site: Site, change: Callable[[Observed], Observed], rests: bool) -> None:
    """All that a plan reads; not what changes with every request."""
    seen = observed(site)
    rest, rollout = rested(site, seen)
    assert rest is not None
    new = change(seen)
    shared = resting.common(LIMITS, new.generation, new.replicas)
    assert resting.goes_on(rest, rest.spec, rollout, new, shared, NOW + 9999.0) == rests
    if rests:
        assert plan(rest.spec, rollout, new, NOW + 9999.0, LIMITS).rollout == rollout


def test_a_claim_a_freeze_and_another_memory_end_a_rest(site: Site) -> None:
    """A changed ServedModel, or a tag that was written."""
    seen = observed(site)
    rest, rollout = rested(site, seen)
    assert rest is not None
    shared = rest.common
    other = msgspec.structs.replace(rest.spec, verbs={"rollback": digest_of("1")})
    assert not resting.goes_on(rest, other, rollout, seen, shared, NOW)
    assert not resting.goes_on(rest, None, rollout, seen, shared, NOW)
    assert not resting.goes_on(rest, rest.spec, msgspec.structs.replace(rollout), seen, shared, NOW)
    frozen = resting.common(msgspec.structs.replace(LIMITS, frozen="why"), seen.generation, seen.replicas)
    assert not resting.goes_on(rest, rest.spec, rollout, seen, frozen, NOW)


def test_a_hold_rests_until_it_is_over(site: Site) -> None:
    """Time alone ends it, at the moment when the plan would."""
    site.registry.promote("m", "2")
    site.run(12)
    seen = observed(site)
    claim, rollout = site.sightings.claims["m"], site.records.rollouts["m"]
    shared = resting.common(LIMITS, seen.generation, seen.replicas)
    (began,) = rollout.held.values()
    rest = resting.rest(claim, rollout, seen, plan(claim, rollout, seen, began + 1, LIMITS), shared)
    assert rest is not None
    rollout = rest.rollout
    assert resting.goes_on(rest, claim, rollout, seen, shared, began + 49.9)
    assert not resting.goes_on(rest, claim, rollout, seen, shared, began + 50.0)


def test_what_moves_does_not_rest(site: Site) -> None:
    """A candidate's clock runs: it is planned at every step."""
    site.registry.promote("m", "2")
    site.run(3)
    assert rested(site, observed(site))[0] is None


def test_a_failed_smoke_of_made_up_inputs_is_told_when_it_is_seen(site: Site) -> None:
    """The condition comes although the rollout rested."""
    for replica in site.fleet.replicas.values():
        replica.world["/m/1"].smoke = Smoke("made-up", False, "needs real text")
    site.step()
    assert site.line().conditions["Unprofiled"] == "needs real text"
