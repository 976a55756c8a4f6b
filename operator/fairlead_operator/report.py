"""What people and tools read of all rollouts: one line for each claim. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from fairlead_operator.documents import ModelEntry
from fairlead_operator.sightings import Lost, Sightings
from fairlead_operator.state import Outlook, Phase, Rollout, Seen, VersionTags


class RegistrySight(msgspec.Struct, frozen=True):
    """`seen`: the last complete answer (Unix seconds; null: none yet). `error` is "" while it answers, else
    what is wrong, and `since` when that began."""

    seen: float | None
    since: float
    error: str


class Line(msgspec.Struct, frozen=True):
    model: str
    served: str
    phase: str
    stable: str
    candidate: str
    reason: str
    since: float
    conditions: dict[str, str]


class Report(msgspec.Struct, frozen=True):
    registry: RegistrySight
    rollouts: tuple[Line, ...]


def lines(outlooks: Iterable[Outlook]) -> tuple[Line, ...]:
    return tuple(sorted(map(_line, outlooks), key=lambda line: (line.served, line.model)))


def _line(outlook: Outlook) -> Line:
    rollout, fault = outlook.rollout, outlook.fault
    return Line(
        model=rollout.model,
        served=rollout.served,
        phase=rollout.phase.value,
        stable=rollout.stable,
        candidate=rollout.candidate.version if rollout.candidate else "",
        reason=rollout.reason,
        since=rollout.since,
        conditions={**rollout.conditions, **({"SpecInvalid": fault} if fault else {})},
    )


def outlooks(
    rollouts: Iterable[Rollout],
    faults: Mapping[str, str],
    models: Mapping[str, ModelEntry],
    seen: Mapping[str, Seen],
    since: float,
    rested: Mapping[str, Outlook],
) -> tuple[Outlook, ...]:
    """Every claim, with what the stored catalog (`models`) and the replicas have of it. `faults`: claims that cannot
    be read, by ref, model or served name; some of them have no rollout at all. `rested`: what was told of rollouts for
    which nothing has changed in the replicas; it is told again, the same object, where nothing else has either."""
    found: list[Outlook] = []
    known: set[str] = set()
    for rollout in rollouts:
        ref = rollout.spec.ref if rollout.spec else ""
        names = (ref, rollout.model, rollout.served) if not ref else (ref,)
        known.update(names)
        fault = next((faults[name] for name in names if name in faults), "")
        old = rested.get(rollout.served)
        if old is not None and old.rollout is rollout and (old.fault, old.replicas) == (fault, len(seen)):
            found.append(old)
            continue
        entry = models.get(rollout.served) if rollout.phase is not Phase.CONFLICT else None
        found.append(Outlook(rollout, entry, _ready(rollout.served, entry, seen), len(seen), fault, ref))
    for name, fault in faults.items():
        if name not in known:
            unread = Rollout(name, name, phase=Phase.REFUSED, reason=fault, since=since)
            found.append(Outlook(unread, None, 0, len(seen), fault, name))
    return tuple(found)


def _ready(served: str, entry: ModelEntry | None, seen: Mapping[str, Seen]) -> int:
    """The replicas in which the routed version is ready."""
    routed = entry.routed if entry else ""
    models = [status.models.get(served) for status in seen.values() if not isinstance(status, str)] if routed else []
    versions = [model.versions.get(routed) for model in models if model]
    return sum(version is not None and version.state == "ready" for version in versions)


def aside(sightings: Sightings, old: Mapping[str, Rollout], since: float) -> dict[str, Rollout]:
    """The claims that lost their served name, with the tag that tells so: by who asks and for what."""
    found = {}
    for lost in sightings.set_aside:
        claim = lost.claim
        blank = Rollout(claim.served, claim.model, claim, Phase.CONFLICT, since=since)
        key = f"{claim.ref or claim.model}:{claim.served}"
        reason = _conflict(lost)
        # Of the winner's own version the winner says what it does.
        tags = {lost.version: VersionTags(f"conflict: {reason}")} if claim.model != lost.winner.model else {}
        tags.pop("", None)
        found[key] = msgspec.structs.replace(
            old.get(key, blank), model=claim.model, spec=claim, reason=reason, tags=tags
        )
    return found


def _conflict(lost: Lost) -> str:
    winner = lost.winner
    holder = f"the ServedModel {winner.ref!r}" if winner.ref else f"model {winner.model!r}"
    if not winner.ref and winner.model == lost.claim.model:
        holder = "another claim of the same model"
    return (
        f"the name {winner.served!r} belongs to {holder}: who serves under a name keeps it, else the older one has it"
    )
