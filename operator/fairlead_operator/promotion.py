"""A promotion under way: what was refused, how far the candidate has come, and one step of the strategy. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_operator import memory, verbs
from fairlead_operator.documents import ModelEntry
from fairlead_operator.spec import DEFAULT_HOLD_S, Served
from fairlead_operator.state import Candidate, Event, Observed, Phase, Refusal, Rollout, Spent, Target
from fairlead_operator.strategies import blue_green, gates

FROZEN = "Frozen"  # the condition


class Limits(msgspec.Struct, frozen=True):
    """The operator's own times, in seconds: how long an old version stays warm, and a new one may stand still.
    `frozen` is why nothing is to be changed at all; "" while it may be."""

    hold_s: float = DEFAULT_HOLD_S
    progress_s: float = 600.0
    frozen: str = ""


class Scene(msgspec.Struct, frozen=True):
    """All that one plan is decided from, but the memory."""

    spec: Served
    target: Target | None
    fleet: gates.Fleet
    observed: Observed
    now: float
    limits: Limits


class Draft(msgspec.Struct, frozen=True):
    """A plan in the making."""

    entry: ModelEntry | None
    rollout: Rollout
    phase: Phase
    reason: str
    events: tuple[Event, ...] = ()
    conditions: dict[str, str] = {}
    refusal: tuple[str, str] | None = None


def merged(spec: Served, target: Target) -> dict[str, Any]:
    """The settings of a version: its own tags win over the model's."""
    return {**spec.settings, **target.settings}


def promote(draft: Draft, scene: Scene) -> Draft:
    """What is asked for is not what is routed: one step towards it, unless it was refused."""
    target = scene.target
    assert target is not None
    recalled = memory.refusals(draft.rollout, target, draft.entry, scene.now)
    draft = msgspec.structs.replace(draft, rollout=recalled.rollout, events=draft.events + recalled.events)
    refusal = memory.refused(draft.rollout, target)
    if refusal is not None:
        return _refused(draft, target.version, refusal.reason, scene)
    if target.problem:
        return _refused(draft, target.version, target.problem, scene)
    named = verbs.digest(draft.entry, target.version) or target.digest
    why = verbs.refuses(draft.rollout, scene.spec, named)
    if why:
        event = Event("refused", why, target.version, named, "annotation")
        draft = msgspec.structs.replace(draft, events=(*draft.events, event))
        return _remember_refusal(draft, why, named, scene)
    return _try(draft, target, scene)


def _try(draft: Draft, target: Target, scene: Scene) -> Draft:
    """One step of the strategy, and what it leaves to remember."""
    limits, before = scene.limits, draft.rollout
    candidate = memory.progress(before, target, scene.fleet, scene.now, limits.progress_s / 10)
    waited = before.phase in verbs.WAITING or FROZEN in before.conditions or not scene.fleet.reachable()
    stuck_s = 0.0 if waited else memory.stuck_s(candidate, scene.observed.watching, scene.now)
    step = blue_green.step(_case(draft, target, scene, stuck_s))
    event = _by_whom(step.event, before, scene)
    events = draft.events + ((event,) if event else ())
    if waited and step.phase is Phase.LOADING and scene.fleet.reachable():  # its clock begins anew
        candidate = msgspec.structs.replace(candidate, progress_at=scene.now)
    rollout = msgspec.structs.replace(before, candidate=candidate)
    draft = msgspec.structs.replace(draft, entry=step.entry, phase=step.phase, rollout=rollout, events=events)
    if step.refused:
        return _remember_refusal(draft, step.reason, step.digest, scene)
    return _stepped(draft, step, candidate, scene)


def _by_whom(event: Event | None, before: Rollout, scene: Scene) -> Event | None:
    """A switch that a person asked for says so."""
    if event is None or event.what != "switched":
        return event
    asked = [verb for verb in ("approve", "promote") if verbs.asks(before, scene.spec, verb, event.digest)]
    return msgspec.structs.replace(event, who="annotation", why=f"{event.why} ({asked[0]}d)") if asked else event


def _case(draft: Draft, target: Target, scene: Scene, stuck_s: float) -> blue_green.Case:
    routed = draft.entry.routed if draft.entry else ""
    known = draft.rollout.signature if draft.rollout.stable == routed else None
    held = target.version in draft.rollout.held
    blamed = {r.digest: f"version {r.version}: {r.reason}" for r in draft.rollout.refusals if r.digest}
    return blue_green.Case(
        entry=draft.entry,
        target=target,
        fleet=scene.fleet,
        settings=merged(scene.spec, target),
        held=held,
        old=gates.signature_of(scene.fleet, routed) or known if routed else None,
        allow_signature_change=scene.spec.allow_signature_change or target.allow_signature_change,
        stuck_s=stuck_s,
        limit_s=scene.limits.progress_s,
        refused_digests=blamed,
        attempt=draft.rollout.attempts.get(target.version, 0),
        person=verbs.waits(draft.rollout, scene.spec, verbs.digest(draft.entry, target.version), held),
    )


def _stepped(draft: Draft, step: blue_green.Step, candidate: Candidate, scene: Scene) -> Draft:
    """The memory after a step of the strategy."""
    rollout = draft.rollout
    if step.event is not None:  # a write is progress
        rollout = msgspec.structs.replace(rollout, candidate=msgspec.structs.replace(candidate, progress_at=scene.now))
    if step.phase is Phase.SWITCHING:
        rollout = _switched(rollout, candidate.version, scene)
    return msgspec.structs.replace(draft, rollout=rollout, reason=step.reason)


def _switched(rollout: Rollout, new: str, scene: Scene) -> Rollout:
    old = rollout.routed
    held = {v: since for v, since in rollout.held.items() if v != new} | ({old: 0.0} if old else {})
    generation = scene.observed.next_generation
    return msgspec.structs.replace(rollout, routed=new, switched=generation, held=held, candidate=None)


def goes_back(draft: Draft, scene: Scene) -> bool:
    """Whether a person wants the routed version to be left for the one before it, and there is one."""
    entry = draft.entry
    named = verbs.digest(entry, entry.routed) if entry else ""
    return bool(verbs.way_back(draft.rollout)) and verbs.asks(draft.rollout, scene.spec, "rollback", named)


def roll_back(draft: Draft, scene: Scene) -> tuple[Draft, bool]:
    """From the routed version to the last one that served and is kept warm. False where that one cannot serve."""
    entry, rollout, old = draft.entry, draft.rollout, verbs.way_back(draft.rollout)
    assert entry is not None
    routed = entry.routed
    back, named = entry.versions[old], verbs.digest(entry, routed)
    step = blue_green.step(blue_green.Case(entry, Target(old, back.source), scene.fleet, back.settings, held=True))
    if step.refused:
        said = Spent(named, f"version {old} cannot serve: {step.reason}")
        rollout = msgspec.structs.replace(rollout, spent={**rollout.spent, "rollback": said})
        return msgspec.structs.replace(draft, rollout=rollout), False
    if step.phase is not Phase.SWITCHING:
        reason = f"going back from version {routed}: {step.reason}"
        return msgspec.structs.replace(draft, phase=Phase.SWITCHING, reason=reason), True
    why = verbs.refuses(rollout, scene.spec, named)
    refusal = Refusal(routed, entry.versions[routed].source, why, scene.now, named)
    rollout = msgspec.structs.replace(rollout, refusals=(*rollout.refusals, refusal)[-memory.REMEMBERED :])
    reason = f"the route moved back to version {old}: {why}; waiting for every replica to confirm"
    return msgspec.structs.replace(
        draft,
        entry=step.entry,
        rollout=_switched(rollout, old, scene),
        phase=Phase.SWITCHING,
        reason=reason,
        events=(*draft.events, Event("rolled back", reason, old, back.digest or "", "annotation")),
        refusal=(routed, why),
    ), True


def _remember_refusal(draft: Draft, reason: str, digest: str, scene: Scene) -> Draft:
    assert scene.target is not None
    refusal = Refusal(scene.target.version, scene.target.source, reason, scene.now, digest)
    refusals = (*draft.rollout.refusals, refusal)[-memory.REMEMBERED :]
    rollout = msgspec.structs.replace(draft.rollout, refusals=refusals)
    return _refused(msgspec.structs.replace(draft, rollout=rollout), scene.target.version, reason, scene)


def _refused(draft: Draft, version: str, reason: str, scene: Scene) -> Draft:
    """Without the version; one that had the traffic stays until no replica sends it any."""
    routed = draft.entry.routed if draft.entry else ""
    keeps = f"version {routed} keeps serving" if routed else "nothing serves"
    reason_told = f"version {version} is refused: {reason}; {keeps}"
    rollout = msgspec.structs.replace(draft.rollout, candidate=None)
    if version in rollout.held:
        moving = blue_green.unconfirmed(scene.fleet, routed, rollout.switched, lenient=True)
        if moving:
            return msgspec.structs.replace(
                draft,
                rollout=rollout,
                phase=Phase.SWITCHING,
                reason=f"{reason_told}; {moving}",
                refusal=(version, reason),
            )
    held = {v: since for v, since in rollout.held.items() if v != version}
    return msgspec.structs.replace(
        draft,
        entry=blue_green.without(draft.entry, version),
        rollout=msgspec.structs.replace(rollout, held=held),
        phase=Phase.REFUSED,
        reason=reason_told,
        refusal=(version, reason),
    )
