"""A promotion under way: what was refused, how far the candidate has come, and one step of the strategy. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_operator import memory
from fairlead_operator.documents import ModelEntry
from fairlead_operator.spec import DEFAULT_HOLD_S, Served
from fairlead_operator.state import Candidate, Event, Observed, Phase, Refusal, Rollout, Target
from fairlead_operator.strategies import blue_green, gates


class Limits(msgspec.Struct, frozen=True):
    """The operator's own times, in seconds: how long an old version stays warm, and a new one may stand still."""

    hold_s: float = DEFAULT_HOLD_S
    progress_s: float = 600.0


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
        return _refused(draft, target.version, refusal.reason)
    if target.problem:
        return _refused(draft, target.version, target.problem)
    candidate = memory.progress(draft.rollout, target, scene.fleet, scene.now)
    stuck_s = memory.stuck_s(candidate, scene.observed.watching, scene.now)
    step = blue_green.step(_case(draft, target, scene, stuck_s))
    rollout = msgspec.structs.replace(draft.rollout, candidate=candidate)
    events = draft.events + ((step.event,) if step.event else ())
    draft = msgspec.structs.replace(draft, entry=step.entry, phase=step.phase, rollout=rollout, events=events)
    if step.refused:
        return _remember_refusal(draft, step, target, scene.now)
    return _stepped(draft, step, candidate, scene)


def _case(draft: Draft, target: Target, scene: Scene, stuck_s: float) -> blue_green.Case:
    routed = draft.entry.routed if draft.entry else ""
    known = draft.rollout.signature if draft.rollout.stable == routed else None
    blamed = {r.digest: f"version {r.version}: {r.reason}" for r in draft.rollout.refusals if r.digest}
    return blue_green.Case(
        entry=draft.entry,
        target=target,
        fleet=scene.fleet,
        settings=merged(scene.spec, target),
        held=target.version in draft.rollout.held,
        old=gates.signature_of(scene.fleet, routed) or known if routed else None,
        allow_signature_change=scene.spec.allow_signature_change or target.allow_signature_change,
        stuck_s=stuck_s,
        limit_s=scene.limits.progress_s,
        refused_digests=blamed,
        attempt=draft.rollout.attempts.get(target.version, 0),
    )


def _stepped(draft: Draft, step: blue_green.Step, candidate: Candidate, scene: Scene) -> Draft:
    """The memory after a step of the strategy."""
    rollout = draft.rollout
    if step.event is not None:  # a write is progress
        rollout = msgspec.structs.replace(rollout, candidate=msgspec.structs.replace(candidate, progress_at=scene.now))
    if step.phase is Phase.SWITCHING:
        new, old = candidate.version, rollout.routed
        held = {v: since for v, since in rollout.held.items() if v != new} | ({old: 0.0} if old else {})
        generation = scene.observed.next_generation
        rollout = msgspec.structs.replace(rollout, routed=new, switched=generation, held=held, candidate=None)
    return msgspec.structs.replace(draft, rollout=rollout, reason=step.reason)


def _remember_refusal(draft: Draft, step: blue_green.Step, target: Target, now: float) -> Draft:
    refusal = Refusal(target.version, target.source, step.reason, now, step.digest)
    refusals = (*draft.rollout.refusals, refusal)[-memory.REMEMBERED :]
    rollout = msgspec.structs.replace(draft.rollout, refusals=refusals)
    return _refused(msgspec.structs.replace(draft, rollout=rollout), target.version, step.reason)


def _refused(draft: Draft, version: str, reason: str) -> Draft:
    routed = draft.entry.routed if draft.entry else ""
    keeps = f"version {routed} keeps serving" if routed else "nothing serves"
    rollout = msgspec.structs.replace(
        draft.rollout, candidate=None, held={v: s for v, s in draft.rollout.held.items() if v != version}
    )
    return msgspec.structs.replace(
        draft,
        entry=blue_green.without(draft.entry, version),
        rollout=rollout,
        phase=Phase.REFUSED,
        reason=f"version {version} is refused: {reason}; {keeps}",
        refusal=(version, reason),
    )
