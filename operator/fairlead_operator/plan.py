"""plan(spec, rollout, observed, now) -> Plan: one decision for one served model. Pure: time is an argument.

    recall the memory -> confirm what is routed -> one step of the strategy -> end old holds -> tags and reason

The same inputs give the same plan, and a plan that changes nothing still carries the reason that a user reads.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_operator import memory, tags
from fairlead_operator.documents import ModelEntry
from fairlead_operator.spec import DEFAULT_HOLD_S, Served
from fairlead_operator.state import Candidate, Event, Observed, Phase, Plan, Refusal, Rollout, Target, VersionTags
from fairlead_operator.strategies import blue_green, gates


class Limits(msgspec.Struct, frozen=True):
    """The operator's own times, in seconds: how long an old version stays warm, and a new one may stand still."""

    hold_s: float = DEFAULT_HOLD_S
    progress_s: float = 600.0


class _Draft(msgspec.Struct, frozen=True):
    """A plan in the making."""

    entry: ModelEntry | None
    rollout: Rollout
    phase: Phase
    reason: str
    events: tuple[Event, ...] = ()
    conditions: dict[str, str] = {}
    refusal: tuple[str, str] | None = None


def plan(spec: Served | None, rollout: Rollout, observed: Observed, now: float, limits: Limits | None = None) -> Plan:
    """`spec` None: nobody asks for this model any more, and complete answers said so."""
    if spec is None:
        return _retire(rollout, observed, now)
    limits = limits or Limits()
    # Not heard of since the operator started: the last that was heard goes on.
    target = observed.wanted.target if _heard(observed) else rollout.target
    fleet = gates.Fleet(rollout.served, observed.generation, observed.replicas)
    recalled = memory.recall(rollout, observed, target)
    draft = _Draft(observed.entry, recalled.rollout, Phase.WAITING, "")
    draft = _confirm(draft, fleet, now)
    if observed.wanted.gone is not None:
        draft = _gone(draft, observed.wanted.gone, now)
    elif target is None:
        draft = msgspec.structs.replace(draft, phase=_resting(draft), reason="the registry has not been heard yet")
    elif draft.entry is not None and draft.entry.routed == target.version:
        draft = _serving(draft, spec, target, fleet, now)
    else:
        draft = _promote(draft, spec, target, fleet, observed, now, limits)
    hold_s = limits.hold_s if spec.hold_s is None else spec.hold_s
    draft = _leave_out(draft, recalled.leaving, target, fleet, hold_s, now)
    return _finish(draft, rollout, spec, target, observed, fleet, now)


def _heard(observed: Observed) -> bool:
    return observed.wanted.target is not None or observed.wanted.gone is not None


def _retire(rollout: Rollout, observed: Observed, now: float) -> Plan:
    left = msgspec.structs.replace(rollout, refusals=(), held={}, candidate=None, spec=None)
    wanted = tags.wanted(left, observed.entry, None, None, "")
    nothing_left = observed.entry is None and all(left.written.get(v) == t for v, t in wanted.items())
    reason = "nobody asks for it any more: the tag or the ServedModel was removed"
    events = (Event("unloaded", reason),) if observed.entry is not None else ()
    left = msgspec.structs.replace(
        left, tags=wanted, phase=Phase.RETIRED, reason=reason, conditions={}, since=_since(rollout, Phase.RETIRED, now)
    )
    return Plan(None, left, events, done=nothing_left)


# --- confirm


def _confirm(draft: _Draft, fleet: gates.Fleet, now: float) -> _Draft:
    """Once every replica has the route in effect: its version is the stable one, and holds begin to count."""
    rollout, entry = draft.rollout, draft.entry
    if entry is None or not entry.routed:
        return draft
    waiting = blue_green.unconfirmed(fleet, entry.routed, rollout.switched)
    if waiting:
        return msgspec.structs.replace(draft, reason=waiting)
    events = draft.events
    held = {version: since or now for version, since in rollout.held.items()}
    if rollout.stable != entry.routed:
        reason = f"every replica sends its traffic to version {entry.routed}"
        events = (*events, Event("confirmed", reason, entry.routed, entry.versions[entry.routed].digest or ""))
        held = dict(list(held.items())[-1:])  # one old version is kept warm: the last that served
    signature = gates.signature_of(fleet, entry.routed) or (
        rollout.signature if rollout.stable == entry.routed else None
    )
    rollout = msgspec.structs.replace(rollout, stable=entry.routed, held=held, signature=signature)
    return msgspec.structs.replace(draft, rollout=rollout, events=events)


def _resting(draft: _Draft) -> Phase:
    """The phase of a rollout in which nothing new is asked for."""
    if draft.entry is None or not draft.entry.routed:
        return Phase.WAITING
    if draft.rollout.stable != draft.entry.routed:
        return Phase.SWITCHING
    return Phase.HOLDING if draft.rollout.held else Phase.SERVING


# --- what is asked for


def _gone(draft: _Draft, gone: tuple[str, str], now: float) -> _Draft:
    """The last pinned version keeps serving; what was on its way is withdrawn."""
    condition, sentence = gone
    recalled = memory.refusals(draft.rollout, None, draft.entry, now)
    routed = draft.entry.routed if draft.entry else ""
    on_its_way = [v for v in draft.entry.versions if v not in (routed, *draft.rollout.held)] if draft.entry else []
    events = tuple(Event("withdrawn", sentence, version) for version in on_its_way)
    keeps = f"; version {routed} keeps serving" if routed else ""
    return msgspec.structs.replace(
        draft,
        entry=blue_green.without(draft.entry, *on_its_way),
        rollout=msgspec.structs.replace(recalled.rollout, candidate=None, target=None),
        phase=_resting(draft),
        reason=sentence + keeps,
        events=draft.events + events,
        conditions={condition: sentence},
    )


def _serving(draft: _Draft, spec: Served, target: Target, fleet: gates.Fleet, now: float) -> _Draft:
    """What is asked for is what is routed: nothing to do but to keep it up to date."""
    entry = draft.entry
    assert entry is not None
    recalled = memory.refusals(draft.rollout, target, entry, now)
    conditions: dict[str, str] = {}
    events = draft.events
    phase = _resting(draft)
    present = entry.versions[target.version]
    if target.source and not blue_green.same_artifact(present.source, target.source):
        conditions["SourceChanged"] = (
            f"version {target.version} names other files in the registry now ({target.source}) than what was pinned; "
            "the pinned ones keep serving: register the new files as a new version"
        )
    elif phase is not Phase.SWITCHING:
        settings = merged(spec, target)
        wanted = msgspec.structs.replace(present, source=target.source or present.source, settings=settings)
        if wanted != present:
            entry = msgspec.structs.replace(entry, versions={**entry.versions, target.version: wanted})
            events = (*events, Event("updated", "its settings or the registry's address changed", target.version))
    reason = draft.reason if phase is Phase.SWITCHING else f"version {target.version} serves"
    if phase is Phase.HOLDING:
        reason += f"; version {', '.join(draft.rollout.held)} is kept warm, so that going back is instant"
    rollout = msgspec.structs.replace(recalled.rollout, candidate=None)
    return msgspec.structs.replace(
        draft, entry=entry, rollout=rollout, phase=phase, reason=reason, events=events, conditions=conditions
    )


def _promote(
    draft: _Draft, spec: Served, target: Target, fleet: gates.Fleet, observed: Observed, now: float, limits: Limits
) -> _Draft:
    """What is asked for is not what is routed: one step towards it, unless it was refused."""
    recalled = memory.refusals(draft.rollout, target, draft.entry, now)
    draft = msgspec.structs.replace(draft, rollout=recalled.rollout, events=draft.events + recalled.events)
    refusal = memory.refused(draft.rollout, target)
    if refusal is not None:
        return _refused(draft, target.version, refusal.reason)
    if target.problem:
        return _refused(draft, target.version, target.problem)
    candidate = memory.progress(draft.rollout, target, fleet, now)
    stuck_s = memory.stuck_s(candidate, observed.watching, now)
    step = blue_green.step(_case(draft, spec, target, fleet, stuck_s, limits))
    return _stepped(draft, step, target, candidate, observed, now)


def _case(
    draft: _Draft, spec: Served, target: Target, fleet: gates.Fleet, stuck_s: float, limits: Limits
) -> blue_green.Case:
    routed = draft.entry.routed if draft.entry else ""
    known = draft.rollout.signature if draft.rollout.stable == routed else None
    blamed = {r.digest: f"version {r.version}: {r.reason}" for r in draft.rollout.refusals if r.digest}
    return blue_green.Case(
        entry=draft.entry,
        target=target,
        fleet=fleet,
        settings=merged(spec, target),
        held=target.version in draft.rollout.held,
        old=gates.signature_of(fleet, routed) or known if routed else None,
        allow_signature_change=spec.allow_signature_change or target.allow_signature_change,
        stuck_s=stuck_s,
        limit_s=limits.progress_s,
        refused_digests=blamed,
    )


def _stepped(
    draft: _Draft, step: blue_green.Step, target: Target, candidate: Candidate, observed: Observed, now: float
) -> _Draft:
    """The memory after a step of the strategy."""
    rollout = msgspec.structs.replace(draft.rollout, candidate=candidate)
    draft = msgspec.structs.replace(
        draft, entry=step.entry, phase=step.phase, events=draft.events + ((step.event,) if step.event else ())
    )
    if step.refused:
        refusal = Refusal(target.version, target.source, step.reason, now, step.digest)
        rollout = msgspec.structs.replace(
            rollout, candidate=None, refusals=(*rollout.refusals, refusal)[-memory.REMEMBERED :]
        )
        return _refused(msgspec.structs.replace(draft, rollout=rollout), target.version, step.reason)
    if step.event is not None:  # a write is progress
        rollout = msgspec.structs.replace(rollout, candidate=msgspec.structs.replace(candidate, progress_at=now))
    if step.phase is Phase.SWITCHING:
        old = draft.rollout.routed
        held = {v: since for v, since in rollout.held.items() if v != target.version} | ({old: 0.0} if old else {})
        rollout = msgspec.structs.replace(
            rollout, routed=target.version, switched=observed.next_generation, held=held, candidate=None
        )
    return msgspec.structs.replace(draft, rollout=rollout, reason=step.reason)


def _refused(draft: _Draft, version: str, reason: str) -> _Draft:
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


# --- the end of a plan


def _leave_out(
    draft: _Draft, leaving: tuple[str, ...], target: Target | None, fleet: gates.Fleet, hold_s: float, now: float
) -> _Draft:
    """Without what nobody needs: superseded candidates, and old versions whose hold is over. Never while the
    route is still moving: time alone passes no step."""
    rollout, entry = draft.rollout, draft.entry
    if entry is None:
        return draft
    known = {v: since for v, since in rollout.held.items() if v in entry.versions}
    settled = entry.routed == rollout.stable and not blue_green.unconfirmed(
        fleet, entry.routed, rollout.switched, lenient=True
    )
    over = [v for v, since in known.items() if since and max(0.0, now - since) >= hold_s and settled]
    asked = target.version if target and draft.phase is not Phase.REFUSED else ""
    unknown = [v for v in entry.versions if v not in (entry.routed, asked, *known, *leaving)] if settled else []
    out = [v for v in (*leaving, *over, *unknown) if v in entry.versions and v != asked]
    events = tuple(Event("left out", "it is not needed any more", version) for version in out)
    held = {v: since for v, since in known.items() if v not in out}
    phase = Phase.SERVING if draft.phase is Phase.HOLDING and not held else draft.phase
    reason = f"version {entry.routed} serves" if phase is not draft.phase else draft.reason
    return msgspec.structs.replace(
        draft,
        entry=blue_green.without(entry, *out),
        rollout=msgspec.structs.replace(rollout, held=held),
        phase=phase,
        reason=reason,
        events=draft.events + events,
    )


def _finish(
    draft: _Draft,
    before: Rollout,
    spec: Served,
    target: Target | None,
    observed: Observed,
    fleet: gates.Fleet,
    now: float,
) -> Plan:
    entry = _with_alias(draft.entry, spec)
    trouble = _trouble(fleet, entry)
    conditions = {**draft.conditions, **_conditions(fleet, entry, trouble)}
    rollout = draft.rollout
    if target is not None and target.version not in rollout.written:
        known = VersionTags(target.status, target.digest)
        rollout = msgspec.structs.replace(rollout, written={**rollout.written, target.version: known})
    wanted = tags.wanted(rollout, observed.entry, entry, draft.refusal, trouble)
    return Plan(
        entry,
        msgspec.structs.replace(
            rollout,
            model=spec.model,
            spec=spec,
            target=target if observed.wanted.gone is None else None,
            phase=draft.phase,
            reason=draft.reason,
            since=_since(before, draft.phase, now),
            conditions=conditions,
            tags=wanted,
            written={version: known for version, known in rollout.written.items() if version in wanted},
        ),
        draft.events,
    )


def merged(spec: Served, target: Target) -> dict[str, Any]:
    """The settings of a version: its own tags win over the model's."""
    return {**spec.settings, **target.settings}


def _with_alias(entry: ModelEntry | None, spec: Served) -> ModelEntry | None:
    """The alias may stand in a URL for the version that is routed."""
    if entry is None or not (spec.alias or spec.version):
        return entry
    aliases = {spec.alias: entry.routed} if spec.alias and entry.routed and spec.alias not in entry.versions else {}
    return entry if entry.aliases == aliases else msgspec.structs.replace(entry, aliases=aliases)


def _trouble(fleet: gates.Fleet, entry: ModelEntry | None) -> str:
    """What ails the routed version: a replica in which it failed."""
    for address, seen in fleet.reachable().items() if entry and entry.routed else ():
        status = fleet.version(seen, entry.routed) if entry else None
        if status and status.state == "failed":
            return f"failed in replica {address}: {status.reason}"
    return ""


def _conditions(fleet: gates.Fleet, entry: ModelEntry | None, trouble: str) -> dict[str, str]:
    found = {}
    if trouble:
        found["Degraded"] = trouble
    if fleet.absent():
        found["ReplicasMissing"] = ", ".join(fleet.absent()[: gates.SHOWN])
    for seen in fleet.reachable().values():
        model = seen.models.get(fleet.served)
        if model and model.reason:
            found["Pending"] = model.reason
        status = fleet.version(seen, entry.routed) if entry and entry.routed else None
        if status and status.profile and not status.profile.smoke.passed:
            found["Unprofiled"] = status.profile.smoke.detail or "no smoke prediction was made"
    return found


def _since(before: Rollout, phase: Phase, now: float) -> float:
    return before.since if before.phase is phase and before.since else now
