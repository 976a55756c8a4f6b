"""What people and tools read of all rollouts: one line for each claim. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from fairlead_operator.sightings import Sightings
from fairlead_operator.state import Phase, Rollout, VersionTags


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


def lines(rollouts: Iterable[Rollout], faults: Mapping[str, str], since: float) -> tuple[Line, ...]:
    """`faults`: claims that cannot be read, by model or served name; some of them have no rollout at all."""
    shown = list(rollouts)
    found = [_line(rollout, faults) for rollout in shown]
    known = {rollout.served for rollout in shown} | {rollout.model for rollout in shown}
    for name, fault in faults.items():
        if name not in known:
            found.append(Line(name, name, Phase.REFUSED.value, "", "", fault, since, {"SpecInvalid": fault}))
    return tuple(sorted(found, key=lambda line: (line.served, line.model)))


def _line(rollout: Rollout, faults: Mapping[str, str]) -> Line:
    fault = faults.get(rollout.model) or faults.get(rollout.served)
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


def aside(sightings: Sightings, old: Mapping[str, Rollout], since: float) -> dict[str, Rollout]:
    """By model: the claims that lost their served name to an older one, with the tag that tells so."""
    found = {}
    for lost in sightings.set_aside:
        claim = lost.claim
        reason = (
            f"the name {claim.served!r} belongs to model {lost.winner!r}: who serves under a name keeps it, "
            "else the older one has it"
        )
        blank = Rollout(claim.served, claim.model, claim, Phase.CONFLICT, since=since)
        tags = {lost.version: VersionTags(f"conflict: {reason}")} if lost.version else {}
        found[claim.model] = msgspec.structs.replace(old.get(claim.model, blank), reason=reason, tags=tags)
    return found
