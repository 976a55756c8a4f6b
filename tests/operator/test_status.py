"""The status that people read and tools wait for: what it says in each phase, and that it rests with the rollout."""

from __future__ import annotations

import msgspec
import pytest
from operator_site import Site

from fairlead_operator.report import RegistrySight
from fairlead_operator.resource import Condition, Pinned, Replicas, Status
from fairlead_operator.spec import Served
from fairlead_operator.state import Outlook, Phase, Refusal, Rollout
from fairlead_operator.status import SIGNATURE_BYTES, memory, status, steady
from fairlead_operator.testing import digest_of, signature

WELL = RegistrySight(1000.0, 900.0, "")
ALWAYS = ["Ready", "Progressing", "Degraded", "RegistryReachable", "Conflict"]
D1, D2 = digest_of("1"), digest_of("2")


@pytest.fixture
def site() -> Site:
    """Version 1 serves."""
    site = Site(hold_s=500.0)
    site.registry.register("m", "/m/1", "/m/2", "/m/3")
    site.registry.promote("m", "1")
    site.run()
    return site


def told(site: Site, old: Status | None = None, sight: RegistrySight = WELL) -> Status:
    (outlook,) = site.operator.outlooks()
    return status(outlook, sight, 7, site.now, old)


def condition(found: Status, kind: str) -> Condition:
    return next(one for one in found.conditions if one.type == kind)


def values(found: Status) -> dict[str, str]:
    return {one.type: one.status for one in found.conditions if one.type in ALWAYS}


def test_a_model_that_serves(site: Site) -> None:
    """Ready, with what serves and where."""
    found = told(site)
    assert (found.phase, found.observed_generation, found.served_name, found.pool) == ("Serving", 7, "m", "default")
    assert found.stable == Pinned("1", D1)
    assert (found.candidate, found.step) == (None, "")
    assert found.weights == {"1": 100.0}
    assert found.replicas == Replicas(2, 2)
    assert [one.type for one in found.conditions] == ALWAYS
    assert list(values(found).values()) == ["True", "False", "False", "True", "False"]
    assert condition(found, "Ready").message == "version 1 serves; in 2 of 2 replicas"
    assert found.last_verdict is not None
    assert (found.last_verdict.result, found.last_verdict.version) == ("Pass", "1")


def test_a_promotion_under_way(site: Site) -> None:
    """Not Ready for what is asked for now, and Progressing says how far it has come."""
    site.registry.promote("m", "2")
    steps = []
    for _ in range(14):
        site.run(1)
        found = told(site)
        steps.append((found.step, condition(found, "Progressing").reason, found.candidate, found.weights))
    seen = list(dict.fromkeys((step, reason) for step, reason, _, _ in steps))
    assert seen == [
        ("fetching, until every replica agrees", "Loading"),
        ("proving it in every replica", "Loading"),
        ("switching, until every replica confirms", "Switching"),
        ("keeping the old version warm", "Holding"),
    ]
    assert Pinned("2", D2) in [candidate for _, _, candidate, _ in steps]
    assert {tuple(weights) for *_, weights in steps} == {("1",), ("2",)}
    assert told(site).candidate is None
    assert told(site).stable == Pinned("2", D2)


def test_a_refused_version(site: Site) -> None:
    """Degraded with the reason, and the verdict names version and digest."""
    site.world["/m/2"].broken = "it is cut short"
    site.registry.promote("m", "2")
    site.run()
    found = told(site)
    assert values(found) | {"RegistryReachable": "True"} == dict(
        zip(ALWAYS, ["False", "False", "True", "True", "False"], strict=True)
    )
    assert condition(found, "Degraded").reason == "Refused"
    assert found.last_verdict is not None
    assert (found.last_verdict.result, found.last_verdict.version, found.last_verdict.digest) == ("Fail", "2", D2)
    assert "cut short" in found.last_verdict.reason


def test_a_version_that_waits_for_a_person(site: Site) -> None:
    """The digest to approve stands in the candidate."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run()
    found = told(site)
    assert (found.phase, found.step, found.candidate) == ("Approval", "waiting for approval", Pinned("2", D2))
    assert condition(found, "Progressing").reason == "AwaitingApproval"
    assert condition(found, "Ready").status == "False"
    site.operator.freeze("incident 7")
    site.run(2)
    assert condition(told(site), "Frozen").message == "incident 7"
    assert condition(told(site), "Ready").status == "False"


def test_a_status_at_rest_is_not_made_anew(site: Site) -> None:
    """Time passes, the registry is asked again and again: nothing in the status moves."""
    first = told(site)
    site.run(50, seconds=60.0)
    assert told(site, first, RegistrySight(site.now, 900.0, "")) == first


def test_a_transition_time_moves_with_its_status(site: Site) -> None:
    """And not with its reason or message; a status that was lost begins anew."""
    first = told(site)
    site.registry.promote("m", "2")
    site.run(3)
    loading = told(site, first)
    site.run(3)
    further = told(site, loading)
    times = [condition(one, "Ready").last_transition_time for one in (first, loading, further)]
    assert times[0] < times[1] == times[2]
    assert condition(further, "Degraded").last_transition_time == condition(first, "Degraded").last_transition_time
    assert condition(told(site), "Degraded").last_transition_time > times[0]


def test_a_registry_that_does_not_answer(site: Site) -> None:
    """It changes one condition, once it is away for long; Ready stays."""
    away = RegistrySight(1000.0, 1002.0, "connection refused by <object at 0x7f0a>")
    assert told(site, None, steady(away, 1031.0)) == told(site)
    down = told(site, None, steady(away, 1032.0))
    assert condition(down, "RegistryReachable").status == "False"
    assert (
        condition(down, "RegistryReachable").message == f"{away.error}; no complete answer since 1970-01-01T00:16:42Z"
    )
    assert condition(down, "Ready").status == "True"
    other = RegistrySight(1000.0, 1002.0, "connection refused by <object at 0x7f0b>")
    assert told(site, down, steady(other, 5000.0)) == down


def test_an_operator_that_starts_writes_no_status_anew(site: Site) -> None:
    """What the one before it knew of the registry stands until it has asked by itself."""
    unknown = steady(RegistrySight(None, site.now, "it has not answered yet"), site.now + 1)
    before = told(site)
    assert told(site, before, unknown) == before
    assert condition(told(site, None, unknown), "RegistryReachable").status == "Unknown"
    never = steady(RegistrySight(None, site.now, "it has not answered yet"), site.now + 60)
    assert condition(told(site, before, never), "RegistryReachable").status == "False"


def test_a_changed_claim_is_not_ready_before_the_registry_was_asked(site: Site) -> None:
    """What serves for the old alias says nothing of the new one."""
    claim = msgspec.structs.replace(site.sightings.claims["m"], alias="next")
    site.sightings = msgspec.structs.replace(site.sightings, claims={"m": claim}, wanted={})
    site.step()
    found = told(site)
    assert (site.routed(), found.phase) == ("1", "Serving")
    assert (condition(found, "Ready").status, condition(found, "Ready").reason) == ("False", "RegistryUnheard")


def test_no_replica_is_not_ready(site: Site) -> None:
    """However well the rollout stands."""
    for replica in site.fleet.replicas.values():
        replica.reachable = False
    site.step()
    assert condition(told(site), "Ready").reason == "NoReplica"
    assert condition(told(site), "ReplicasMissing").status == "True"


def test_a_claim_that_lost_its_name_and_one_that_cannot_be_read() -> None:
    """Conflict says which of both it is; the memory of the winner stays the winner's."""
    lost = Rollout("shop", "m", Served("shop", "m", ref="b/shop"), Phase.CONFLICT, "the name is taken")
    found = status(Outlook(lost, None, 0, 2, "", "b/shop"), WELL, 1, 5.0, None)
    assert (condition(found, "Conflict").reason, condition(found, "Ready").reason) == ("NameTaken", "Conflict")
    assert (found.memory, found.weights) == ({}, {})
    unread = Rollout("b/shop", "b/shop", phase=Phase.REFUSED, reason="a hold of -1 s")
    found = status(Outlook(unread, None, 0, 2, "a hold of -1 s", "b/shop"), WELL, 1, 5.0, None)
    assert (condition(found, "Conflict").reason, condition(found, "Ready").reason) == ("SpecInvalid", "SpecInvalid")
    assert found.reason == "a hold of -1 s"


def test_the_memory_is_read_back(site: Site) -> None:
    """All that the next step does not find out by itself, through JSON."""
    site.registry.promote("m", "2")
    site.run(4)
    rollout = site.records.rollouts["m"]
    kept = msgspec.json.decode(msgspec.json.encode(told(site).memory), type=Rollout)
    assert kept == msgspec.structs.replace(rollout, reason="", conditions={})


def test_the_memory_is_bounded() -> None:
    """Neither a signature of a thousand columns nor long reasons fill the status."""
    wide = signature(*(f"column_{i}" for i in range(1000)))
    refusals = tuple(Refusal(str(i), f"/m/{i}", "x" * 9999, 1.0, D1) for i in range(20))
    rollout = Rollout("m", "m", signature=wide, refusals=refusals)
    assert len(msgspec.json.encode(memory(rollout))) < 12_000
    narrow = msgspec.structs.replace(rollout, signature=signature("a"))
    assert len(msgspec.json.encode(narrow.signature)) < SIGNATURE_BYTES
    assert "signature" in memory(narrow)


def test_frozen_and_not_heard_is_not_ready(site: Site) -> None:
    """An operator that starts under a freeze, with its memory lost, does not know what is asked for."""
    site.records.rollouts.clear()
    site.start()
    site.operator.freeze("incident 7")
    site.sightings = msgspec.structs.replace(site.sightings, claims={"m": Served("m", "m", "champion")}, wanted={})
    site.step()
    assert site.routed() == "1"
    assert condition(told(site), "Ready").reason == "RegistryUnheard"
