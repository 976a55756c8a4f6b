"""The planner as a table: what is stored and seen on the left, what is wanted next on the right."""

from __future__ import annotations

import msgspec
import pytest

from fairlead_operator.documents import (
    STATUS_VERSION,
    ModelEntry,
    ModelStatus,
    Profile,
    ReplicaStatus,
    Route,
    Smoke,
    VersionEntry,
    VersionStatus,
)
from fairlead_operator.plan import Limits, plan
from fairlead_operator.spec import Served
from fairlead_operator.state import Candidate, Observed, Phase, Refusal, Rollout, Target, VersionTags, Wanted
from fairlead_operator.testing import digest_of, signature

SPEC = Served("m", "m", "champion")
NOW = 1000.0
LIMITS = Limits(hold_s=60.0, progress_s=100.0)
D1, D2, D3 = digest_of("1"), digest_of("2"), digest_of("3")


def version(state: str, digest: str = "", *, final: bool = False, reason: str = "") -> VersionStatus:
    done = state == "ready"
    profile = Profile(smoke=Smoke("example", True)) if done else None
    return VersionStatus(state, 0.0, reason, final, digest, signature("input") if done else None, profile)


def replica(applied: int = 5, generation: int = 5, **versions: VersionStatus) -> ReplicaStatus:
    held = {name.removeprefix("v"): status for name, status in versions.items()}
    return ReplicaStatus(
        STATUS_VERSION, "r", "b", generation, applied, True, False, {"m": ModelStatus(applied, held)}, "default"
    )


def entry(routed: str, **digests: str | None) -> ModelEntry:
    versions = {name.removeprefix("v"): VersionEntry(f"/m/{name[1:]}", digest) for name, digest in digests.items()}
    weights = {routed: 1.0} if routed else dict.fromkeys(versions, 0.0)
    return ModelEntry(versions, Route(weights), {"champion": routed} if routed else {})


def target(number: str, **more: str) -> Wanted:
    return Wanted(Target(number, f"/m/{number}", **more))


def seen(stored: ModelEntry | None, wanted: Wanted, *replicas: ReplicaStatus | str) -> Observed:
    return Observed(stored, 5, {f"r{i}": status for i, status in enumerate(replicas)}, wanted, 6, 0.0)


def memory(**more: object) -> Rollout:
    return msgspec.structs.replace(Rollout("m", "m", SPEC, stable="1", routed="1", switched=3), **more)


READY1 = version("ready", D1)
SERVING = entry("1", v1=D1)
BESIDE = entry("1", v1=D1, v2=None)
AGAIN = msgspec.structs.replace(
    BESIDE, versions=BESIDE.versions | {"2": VersionEntry("/m/2", attempt=1000)}
)  # the time of the retry
PINNED = entry("1", v1=D1, v2=D2)
SWITCHED = entry("2", v1=D1, v2=D2)

TABLE = [
    # name, rollout, observed, the entry that is wanted, phase, a part of the reason
    (
        "a first version is loaded and routed nowhere",
        Rollout("m", "m"),
        seen(None, target("1"), replica()),
        entry("", v1=None),
        Phase.LOADING,
        "was promoted",
    ),
    (
        "nothing is asked for that is not there",
        memory(),
        seen(SERVING, target("1"), replica(v1=READY1)),
        SERVING,
        Phase.SERVING,
        "version 1 serves",
    ),
    (
        "a new version comes beside the old one",
        memory(),
        seen(SERVING, target("2"), replica(v1=READY1)),
        BESIDE,
        Phase.LOADING,
        "version 2 was promoted",
    ),
    (
        "one replica has not fetched it yet",
        memory(),
        seen(
            BESIDE, target("2"), replica(v1=READY1, v2=version("trying", D2)), replica(v1=READY1, v2=version("wanted"))
        ),
        BESIDE,
        Phase.LOADING,
        "waiting for its digest from r1 (wanted)",
    ),
    (
        "all replicas report one digest: it is pinned",
        memory(),
        seen(BESIDE, target("2"), *[replica(v1=READY1, v2=version("loading", D2))] * 2),
        PINNED,
        Phase.LOADING,
        "pinned",
    ),
    (
        "a replica that does not have the stored catalog counts as absent",
        memory(),
        seen(BESIDE, target("2"), replica(v2=version("ready", D2)), replica(generation=4, v2=version("ready", D2))),
        BESIDE,
        Phase.LOADING,
        "r1 (has catalog generation 4, wanted 5)",
    ),
    (
        "ready in one replica is not ready",
        memory(),
        seen(PINNED, target("2"), replica(v1=READY1, v2=version("ready", D2)), replica(v2=version("warming", D2))),
        PINNED,
        Phase.LOADING,
        "ready in r1 (warming)",
    ),
    (
        "ready everywhere: the route moves, the old version stays",
        memory(),
        seen(PINNED, target("2"), *[replica(v1=READY1, v2=version("ready", D2))] * 2),
        msgspec.structs.replace(SWITCHED, aliases={"champion": "2"}),
        Phase.SWITCHING,
        "the route moved to version 2",
    ),
    (
        "a replica that has not applied the route is waited for",
        memory(routed="2", switched=5, held={"1": 0.0}),
        seen(SWITCHED, target("2"), replica(applied=5), replica(applied=4)),
        SWITCHED,
        Phase.SWITCHING,
        "waiting for r1 (has not applied it yet) to confirm",
    ),
    (
        "confirmed everywhere: the old version is held",
        memory(routed="2", switched=5, held={"1": 0.0}),
        seen(SWITCHED, target("2"), replica(applied=5), replica(applied=5)),
        SWITCHED,
        Phase.HOLDING,
        "version 1 is kept warm",
    ),
    (
        "no replica is known: nobody has confirmed anything",
        memory(routed="2", switched=5, held={"1": 0.0}),
        seen(SWITCHED, target("2")),
        SWITCHED,
        Phase.SWITCHING,
        "to confirm the route: none is known",
    ),
    (
        "the hold is over",
        memory(stable="2", routed="2", switched=5, held={"1": NOW - 60}),
        seen(SWITCHED, target("2"), replica()),
        entry("2", v2=D2),
        Phase.SERVING,
        "version 2 serves",
    ),
    (
        "a hold that began in the future has not begun",
        memory(stable="2", routed="2", switched=5, held={"1": NOW + 3600}),
        seen(SWITCHED, target("2"), replica()),
        SWITCHED,
        Phase.HOLDING,
        "kept warm",
    ),
    (
        "a final failure refuses",
        memory(),
        seen(BESIDE, target("2"), replica(v1=READY1, v2=version("failed", D2, final=True, reason="cut short"))),
        SERVING,
        Phase.REFUSED,
        "version 2 is refused: cut short (replica r0); version 1 keeps serving",
    ),
    (
        "a failure that can pass is waited for",
        memory(),
        seen(BESIDE, target("2"), replica(v1=READY1, v2=version("failed", reason="connection reset"))),
        BESIDE,
        Phase.LOADING,
        "r0 (failed: connection reset)",
    ),
    (
        "no progress within the limit refuses",
        memory(candidate=Candidate("2", "/m/2", 0.0, NOW - 100, {"r0": 2})),
        seen(BESIDE, target("2"), replica(v1=READY1, v2=version("fetching"))),
        SERVING,
        Phase.REFUSED,
        "no progress for 100 s: waiting for its digest from r0 (fetching)",
    ),
    (
        "what was refused is not tried again",
        memory(refusals=(Refusal("2", "/m/2", "cut short", 1.0),)),
        seen(SERVING, target("2"), replica(v1=READY1)),
        SERVING,
        Phase.REFUSED,
        "cut short",
    ),
    (
        "the alias came back: it is",
        memory(refusals=(Refusal("2", "/m/2", "cut short", 1.0, left=True),)),
        seen(SERVING, target("2"), replica(v1=READY1)),
        AGAIN,
        Phase.LOADING,
        "was promoted",
    ),
    (
        "a refusal that only the registry remembers",
        Rollout("m", "m"),
        seen(SERVING, target("2", status="refused: cut short"), replica(v1=READY1)),
        SERVING,
        Phase.REFUSED,
        "cut short",
    ),
    (
        "a version that was served before is pinned to what it was",
        memory(),
        seen(SERVING, target("2", status="retired", digest=D2), replica(v1=READY1)),
        PINNED,
        Phase.LOADING,
        "was promoted",
    ),
    (
        "a superseded candidate goes when the newest comes",
        memory(candidate=Candidate("2", "/m/2", 0.0, NOW)),
        seen(BESIDE, target("3"), replica(v1=READY1)),
        entry("1", v1=D1, v3=None),
        Phase.LOADING,
        "version 3 was promoted",
    ),
    (
        "the alias is gone: the routed version stays, the candidate goes",
        memory(candidate=Candidate("2", "/m/2", 0.0, NOW)),
        seen(BESIDE, Wanted(gone=("AliasGone", "no alias")), replica(v1=READY1)),
        SERVING,
        Phase.SERVING,
        "no alias; version 1 keeps serving",
    ),
    (
        "the registry has not been heard: the last target goes on",
        memory(target=Target("2", "/m/2")),
        seen(BESIDE, Wanted(), *[replica(v1=READY1, v2=version("loading", D2))] * 2),
        PINNED,
        Phase.LOADING,
        "pinned",
    ),
    (
        "a source that nobody can fetch",
        memory(),
        seen(SERVING, Wanted(Target("2", "", "its source is a relative path")), replica(v1=READY1)),
        SERVING,
        Phase.REFUSED,
        "relative path",
    ),
    (
        "no replica listed answers",
        memory(candidate=Candidate("2", "/m/2", 0.0, 0.0)),
        seen(BESIDE, target("2"), "nothing listens there"),
        BESIDE,
        Phase.LOADING,
        "r0 (nothing listens there)",
    ),
]


@pytest.mark.parametrize(
    ("rollout", "observed", "wanted", "phase", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_plan(rollout: Rollout, observed: Observed, wanted: ModelEntry, phase: Phase, reason: str) -> None:
    """One decision for each row: the entry, the phase, and the reason that a user reads."""
    decided = plan(SPEC, rollout, observed, NOW, LIMITS)
    assert decided.entry == wanted
    assert decided.rollout.phase == phase
    assert reason in decided.rollout.reason


def test_nobody_asks_any_more() -> None:
    """The model is left out, its versions are told retired, and then nothing is left to remember."""
    decided = plan(None, memory(), seen(SERVING, Wanted(), replica()), NOW)
    assert decided.entry is None
    assert not decided.done
    assert decided.rollout.tags == {"1": VersionTags("retired", D1)}
    told = msgspec.structs.replace(decided.rollout, written=decided.rollout.tags)
    assert plan(None, told, seen(None, Wanted(), replica()), NOW).done


def test_a_claim_made_anew_waits_for_the_registry() -> None:
    """What the old one asked for is not what the new one does."""
    retired = plan(None, memory(target=Target("1", "/m/1")), seen(SERVING, Wanted(), replica()), NOW).rollout
    assert retired.target is None
    anew = Served("m", "m", "challenger")
    decided = plan(anew, retired, seen(None, Wanted(), replica()), NOW, LIMITS)
    assert decided.entry is None
    assert "RegistryUnheard" in decided.rollout.conditions


APPROVED = msgspec.structs.replace(SPEC, require_approval=True)
READY2 = replica(v1=READY1, v2=version("ready", D2))


@pytest.mark.parametrize("status", ["serving", "held", "serving (failed in replica r1: disk full)"])
def test_a_tag_opens_no_gate_where_the_memory_knows_better(status: str) -> None:
    """It may be another claim's, or copied from another version."""
    decided = plan(APPROVED, memory(), seen(PINNED, target("2", status=status, digest=D2), READY2), NOW, LIMITS)
    assert decided.rollout.phase == Phase.APPROVAL
    assert decided.entry == PINNED


@pytest.mark.parametrize("unheard", [0, 1, 2])
def test_a_lost_memory_believes_the_tag(unheard: int) -> None:
    """What served here needs no second approval, also where the registry answers only later."""
    rollout = Rollout("m", "m")
    for _ in range(unheard):
        rollout = plan(APPROVED, rollout, seen(PINNED, Wanted(), READY2), NOW, LIMITS).rollout
    decided = plan(APPROVED, rollout, seen(PINNED, target("2", status="held", digest=D2), READY2), NOW, LIMITS)
    assert "it was kept warm" in decided.rollout.reason


def test_a_memory_that_is_behind_the_catalog_knows_what_it_routed() -> None:
    """The operator was killed between the switch to version 3 and its memory: version 2 had the traffic before."""
    stored = entry("3", v1=D1, v2=D2, v3=D3)
    behind = memory(routed="2", switched=4, held={"1": 0.0})
    decided = plan(APPROVED, behind, seen(stored, target("2"), READY2), NOW, LIMITS)
    assert "it was kept warm" in decided.rollout.reason


GONE = Wanted(gone=("AliasGone", "no alias"))
REFUSED = "refused: no memory"


@pytest.mark.parametrize(
    ("rollout", "earlier", "stored", "named", "phase"),
    [
        # lost memory: what is stored is this claim's, and so is the refusal
        (Rollout("m", "m"), (), SERVING, False, Phase.REFUSED),
        (Rollout("m", "m"), (Wanted(), Wanted()), SERVING, False, Phase.REFUSED),
        # nothing is stored: a new claim, or one that was lost with its refusal
        (Rollout("m", "m"), (), None, False, Phase.LOADING),
        (Rollout("m", "m"), (), None, True, Phase.REFUSED),
        (Rollout("m", "m"), (Wanted(), Wanted()), None, True, Phase.REFUSED),
        # what this memory does not know was refused elsewhere
        (memory(since=1.0), (), SERVING, False, Phase.LOADING),
        (memory(since=1.0), (GONE,), SERVING, False, Phase.LOADING),
        (memory(since=1.0), (Wanted(),), SERVING, False, Phase.LOADING),
    ],
)
def test_whose_refusal_it_is(
    rollout: Rollout, earlier: tuple[Wanted, ...], stored: ModelEntry | None, named: bool, phase: Phase
) -> None:
    """A version that one claim refused is not refused in another; a claim that lost its memory does not try again."""
    for wanted in earlier:
        rollout = plan(SPEC, rollout, seen(stored, wanted, replica(v1=READY1)), NOW, LIMITS).rollout
    wanted = Wanted(Target("2", "/m/2", status=REFUSED, names_claim=named))
    assert plan(SPEC, rollout, seen(stored, wanted, replica(v1=READY1)), NOW, LIMITS).rollout.phase == phase


def test_the_tags_of_a_promotion() -> None:
    """The routed version is serving, the candidate loading, the held one held."""
    loading = plan(SPEC, memory(), seen(PINNED, target("2"), replica(v1=READY1)), NOW, LIMITS)
    assert {v: tag.status for v, tag in loading.rollout.tags.items()} == {"1": "serving", "2": "loading"}
    switched = memory(routed="2", switched=5, held={"1": 0.0})
    holding = plan(SPEC, switched, seen(SWITCHED, target("2"), replica()), NOW, LIMITS)
    assert {v: tag.status for v, tag in holding.rollout.tags.items()} == {"1": "held", "2": "serving"}


@pytest.mark.parametrize(
    ("before", "after"),
    [("serving", "retired"), ("held", "retired"), ("loading", "withdrawn"), ("refused: a relative path", "withdrawn")],
)
def test_the_tag_of_what_is_left_out_says_whether_it_served(before: str, after: str) -> None:
    """`fairlead rollback` goes to retired versions: one that never had the traffic must not be told so."""
    rollout = memory(tags={"2": VersionTags(before, D2)})
    decided = plan(SPEC, rollout, seen(SERVING, target("1"), replica(v1=READY1)), NOW, LIMITS)
    assert decided.rollout.tags["2"] == VersionTags(after, D2)


def test_a_phase_keeps_its_beginning() -> None:
    """`since` is when the phase began, not when it was last looked at."""
    first = plan(SPEC, memory(), seen(BESIDE, target("2"), replica()), NOW, LIMITS).rollout
    later = plan(SPEC, first, seen(BESIDE, target("2"), replica()), NOW + 5, LIMITS).rollout
    assert (first.since, later.since) == (NOW, NOW)
