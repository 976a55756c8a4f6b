"""plan(spec, rollout, observed, now) -> Plan: one decision for one served model. Pure: time is an argument.

    recall the memory -> confirm what is routed -> what a person asks for, else one step of the strategy
        -> end old holds -> tags and reason

While all rollouts are frozen, the stored entry stays as it is, and only the memory is kept up.
The same inputs give the same plan, and a plan that changes nothing still carries the reason that a user reads.
"""

from __future__ import annotations

import msgspec

from fairlead_operator import fitting, health, memory, promotion, tags, verbs
from fairlead_operator.documents import ModelEntry
from fairlead_operator.promotion import FROZEN, Draft, Limits, Scene, merged
from fairlead_operator.spec import Served
from fairlead_operator.state import Event, Observed, Phase, Plan, Rollout, Target, VersionTags
from fairlead_operator.strategies import blue_green, gates

__all__ = ["Limits", "plan"]

UNHEARD = "the registry has not been heard yet"


def plan(spec: Served | None, rollout: Rollout, observed: Observed, now: float, limits: Limits | None = None) -> Plan:
    """`spec` None: nobody asks for this model any more, and complete answers said so."""
    limits = limits or Limits()
    if spec is None:
        return _retire(rollout, observed, now, limits.frozen)
    heard = observed.wanted.target is not None or observed.wanted.gone is not None
    # Not heard of since the operator started, or since somebody asks for something else: the last that was heard goes
    # on, where it was heard for the same.
    target = observed.wanted.target if heard else _heard_before(rollout, spec)
    fleet = gates.Fleet(rollout.served, observed.generation, observed.replicas)
    scene = Scene(spec, target, fleet, observed, now, limits)
    recalled = memory.recall(verbs.remembered(rollout, spec, observed.entry), observed, target)
    draft = _confirm(Draft(observed.entry, recalled.rollout, Phase.WAITING, ""), scene)
    if limits.frozen:
        return _finish(_frozen(draft, scene), rollout, scene)
    if target is None and observed.wanted.gone is None and not promotion.goes_back(draft, scene):
        return _finish(_unheard(draft, scene), rollout, scene)
    draft = _decide(draft, scene)
    draft = _leave_out(draft, recalled.leaving, scene)
    return _finish(draft, rollout, scene)


def _decide(draft: Draft, scene: Scene) -> Draft:
    if promotion.goes_back(draft, scene):
        draft, done = promotion.roll_back(draft, scene)
        if done:
            return draft
    if scene.observed.wanted.gone is not None:
        return _gone(draft, scene, *scene.observed.wanted.gone)
    if scene.target is None:
        return _unheard(draft, scene)
    if draft.entry is not None and draft.entry.routed == scene.target.version:
        decided = _serving(draft, draft.entry, scene)
    else:
        decided = promotion.promote(draft, scene)
    full = scene.observed.full and fitting.grows(draft.entry, decided.entry)
    return _waiting(draft, scene, scene.target) if full else decided


def _heard_before(rollout: Rollout, spec: Served) -> Target | None:
    old = rollout.spec
    same = old is not None and (old.model, old.alias, old.version) == (spec.model, spec.alias, spec.version)
    return rollout.target if same else None


def _wanting(target: Target | None, gone: tuple[str, str] | None) -> dict[str, str]:
    """The condition of a rollout for which there is no target."""
    if gone is not None:
        return {gone[0]: gone[1]}
    return {"RegistryUnheard": UNHEARD} if target is None else {}


def _unheard(draft: Draft, scene: Scene) -> Draft:
    """What is stored stays stored until the registry tells what is asked for."""
    why = scene.observed.wanted.denied or UNHEARD
    return msgspec.structs.replace(draft, phase=_resting(draft), reason=why, conditions=_wanting(None, None))


def _waiting(draft: Draft, scene: Scene, target: Target) -> Draft:
    """What is asked for would make the catalog grow, and has not begun: its clock does not run. That the alias left a
    refused version is noted, for its return is the retry."""
    full = scene.observed.full
    rollout = memory.refusals(draft.rollout, target, draft.entry, scene.now).rollout
    routed = draft.entry.routed if draft.entry else ""
    what = f"what changed of version {routed}" if target.version == routed else f"version {target.version}"
    keeps = f"version {routed} keeps serving" if routed else "nothing serves"
    return msgspec.structs.replace(
        draft,
        rollout=msgspec.structs.replace(rollout, candidate=None),
        phase=_resting(draft),
        reason=f"{what} waits: {full}; {keeps}",
        conditions={fitting.TOO_LARGE: full},
    )


def _frozen(draft: Draft, scene: Scene) -> Draft:
    """What is stored stays stored. That the alias left a refused version is noted, for its return is the retry."""
    target, gone = scene.target, scene.observed.wanted.gone
    rollout = memory.refusals(draft.rollout, None if gone else target, draft.entry, scene.now).rollout
    routed = draft.entry.routed if draft.entry else ""
    refusal = memory.refused(rollout, target) if target is not None and not gone else None
    told = [f"all rollouts are frozen: {scene.limits.frozen}"]
    told += [f"version {routed} serves"] if routed else ["nothing serves"]
    phase = _resting(draft)
    if refusal is not None:
        phase = Phase.REFUSED
        told.append(f"version {refusal.version} is refused: {refusal.reason}")
    elif gone is not None:
        told.append(gone[1])
    elif target is not None and target.version != routed:
        phase = Phase.PAUSED
        told.append(f"version {target.version} waits")
    return msgspec.structs.replace(
        draft,
        rollout=rollout,
        phase=phase,
        reason="; ".join(told),
        conditions={FROZEN: scene.limits.frozen, **_wanting(target, gone)},
        refusal=(refusal.version, refusal.reason) if refusal else None,
    )


def _retire(rollout: Rollout, observed: Observed, now: float, frozen: str) -> Plan:
    if frozen and observed.entry is not None:
        reason = f"all rollouts are frozen: {frozen}; nobody asks for it any more, and it is unloaded when they are not"
        # Not retired yet: an operator that starts anew has to hear again that nobody asks for it.
        since = _since(rollout, Phase.PAUSED, now)
        kept = msgspec.structs.replace(
            rollout, spec=None, target=None, phase=Phase.PAUSED, reason=reason, since=since, conditions={FROZEN: frozen}
        )
        return Plan(observed.entry, kept)
    left = msgspec.structs.replace(rollout, refusals=(), held={}, candidate=None, spec=None, target=None)
    wanted = tags.wanted(left, observed.entry, None, None, "")
    nothing_left = observed.entry is None and all(left.written.get(v) == t for v, t in wanted.items())
    reason = "nobody asks for it any more: the tag or the ServedModel was removed"
    events = (Event("unloaded", reason),) if observed.entry is not None else ()
    left = msgspec.structs.replace(
        left, tags=wanted, phase=Phase.RETIRED, reason=reason, conditions={}, since=_since(rollout, Phase.RETIRED, now)
    )
    return Plan(None, left, events, done=nothing_left)


# --- confirm


def _confirm(draft: Draft, scene: Scene) -> Draft:
    """Once every replica has the route in effect: its version is the stable one, and holds begin to count."""
    rollout, entry, fleet = draft.rollout, draft.entry, scene.fleet
    if entry is None or not entry.routed:
        return draft
    waiting = blue_green.unconfirmed(fleet, entry.routed, rollout.switched)
    if waiting:
        return msgspec.structs.replace(draft, reason=waiting)
    events = draft.events
    held = {version: since or scene.now for version, since in rollout.held.items()}
    if rollout.stable != entry.routed:
        reason = f"every replica sends its traffic to version {entry.routed}"
        events = (*events, Event("confirmed", reason, entry.routed, entry.versions[entry.routed].digest or ""))
        held = dict(list(held.items())[-1:])  # one old version is kept warm: the last that served
        rollout = msgspec.structs.replace(rollout, promoted=scene.now)
    signature = gates.signature_of(fleet, entry.routed) or (
        rollout.signature if rollout.stable == entry.routed else None
    )
    rollout = msgspec.structs.replace(rollout, stable=entry.routed, held=held, signature=signature)
    return msgspec.structs.replace(draft, rollout=rollout, events=events)


def _resting(draft: Draft) -> Phase:
    """The phase of a rollout in which nothing new is asked for."""
    if draft.entry is None or not draft.entry.routed:
        return Phase.WAITING
    if draft.rollout.stable != draft.entry.routed:
        return Phase.SWITCHING
    return Phase.HOLDING if draft.rollout.held else Phase.SERVING


# --- what is asked for


def _gone(draft: Draft, scene: Scene, condition: str, sentence: str) -> Draft:
    """The last pinned version keeps serving; what was on its way is withdrawn."""
    recalled = memory.refusals(draft.rollout, None, draft.entry, scene.now)
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


def _serving(draft: Draft, entry: ModelEntry, scene: Scene) -> Draft:
    """What is asked for is what is routed: nothing to do but to keep it up to date."""
    target = scene.target
    assert target is not None
    recalled = memory.refusals(draft.rollout, target, entry, scene.now)
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
        settings = merged(scene.spec, target)
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


# --- the end of a plan


def _leave_out(draft: Draft, leaving: tuple[str, ...], scene: Scene) -> Draft:
    """Without what nobody needs: superseded candidates, and old versions whose hold is over. Never while the
    route is still moving: time alone passes no step."""
    rollout, entry = draft.rollout, draft.entry
    if entry is None:
        return draft
    hold_s = scene.limits.hold_s if scene.spec.hold_s is None else scene.spec.hold_s
    known = {v: since for v, since in rollout.held.items() if v in entry.versions}
    settled = entry.routed == rollout.stable and not blue_green.unconfirmed(
        scene.fleet, entry.routed, rollout.switched, lenient=True
    )
    over = [v for v, since in known.items() if since and max(0.0, scene.now - since) >= hold_s and settled]
    asked = scene.target.version if scene.target and draft.phase is not Phase.REFUSED else ""
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


def _finish(draft: Draft, before: Rollout, scene: Scene) -> Plan:
    """The plan: with the tags that are wanted now, and what ails the rollout."""
    target = scene.target if scene.observed.wanted.gone is None else None
    entry = draft.entry if scene.limits.frozen else _with_alias(draft.entry, scene.spec)
    trouble = health.trouble(scene.fleet, entry)
    conditions = {**draft.conditions, **health.conditions(scene.fleet, entry, trouble)}
    if scene.observed.wanted.denied:
        conditions["ModelDenied"] = scene.observed.wanted.denied
    rollout = verbs.settled(draft.rollout, scene.spec, entry, target)
    unheeded = verbs.unheeded(rollout, scene.spec, entry, target)
    if unheeded:
        conditions[verbs.UNHEEDED] = unheeded
    if scene.target is not None and scene.target.version not in rollout.written:
        known = VersionTags(scene.target.status, scene.target.digest)
        rollout = msgspec.structs.replace(rollout, written={**rollout.written, scene.target.version: known})
    rollout = msgspec.structs.replace(
        rollout,
        model=scene.spec.model,
        spec=scene.spec,
        target=target,
        phase=draft.phase,
        reason=draft.reason,
        since=_since(before, draft.phase, scene.now),
        blank=(before.blank or not before.since) and scene.target is None and scene.observed.wanted.gone is None,
        conditions=conditions,
    )
    wanted = tags.wanted(rollout, scene.observed.entry, entry, draft.refusal, trouble)
    written = {version: known for version, known in rollout.written.items() if version in wanted}
    return Plan(entry, msgspec.structs.replace(rollout, tags=wanted, written=written), draft.events)


def _with_alias(entry: ModelEntry | None, spec: Served) -> ModelEntry | None:
    """The alias may stand in a URL for the version that is routed."""
    if entry is None or not (spec.alias or spec.version):
        return entry
    aliases = {spec.alias: entry.routed} if spec.alias and entry.routed and spec.alias not in entry.versions else {}
    return entry if entry.aliases == aliases else msgspec.structs.replace(entry, aliases=aliases)


def _since(before: Rollout, phase: Phase, now: float) -> float:
    return before.since if before.phase is phase and before.since else now
