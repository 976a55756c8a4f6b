"""What complete answers of the registry add up to: who asks for what, and what has really gone. Pure.

One look never takes anything away: a tag, an alias, a version or a model counts as gone after three complete
answers in a row that say so. What the operator may not read is not gone: what was known of it stays, and after as
many answers that is told. Errors and partial pages never come here. What Kubernetes says of its own objects
is certain at once. Of two claims to one served name the holder keeps it, then the older wins; the other is told,
also where both name the same model. This module must not know which pools there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from fairlead_operator import sharing
from fairlead_operator.spec import Served, SpecFault, Tags, from_tags
from fairlead_operator.state import RegisteredModel, Snapshot, Wanted

LOOKS = 3


class Claims(msgspec.Struct, frozen=True):
    """What is asked for in one look. `faults`: claims that cannot be read, by ref, model, served name or file.
    `complete`: what is not in here is not asked for (a folder with a broken file is not). `certain`: its absence
    counts at once, without three looks: a complete list of a cluster's objects."""

    served: tuple[Served, ...]
    faults: dict[str, str] = {}
    complete: bool = True
    by_tags: bool = True
    certain: bool = False


class Lost(msgspec.Struct, frozen=True):
    """A claim to a name that another claim holds; `version` is what it would serve, "" if unknown."""

    claim: Served
    winner: Served
    version: str


class Sightings(msgspec.Struct, frozen=True):
    """By served name, but `set_aside` and `faults`. `absent` counts looks. `heard`: somebody has answered who asks."""

    claims: dict[str, Served] = {}
    wanted: dict[str, Wanted] = {}
    removed: frozenset[str] = frozenset()
    absent: dict[str, tuple[str, int]] = {}
    set_aside: tuple[Lost, ...] = ()
    faults: dict[str, str] = {}
    heard: bool = False


def claims_of_tags(snapshot: Snapshot, keys: Tags, default_alias: str) -> Claims:
    """The claims that the tags of registered models make."""
    served, faults = [], {}
    for model in snapshot.models.values():
        if not keys.asks(model.tags):
            continue
        try:
            served.append(from_tags(model.name, model.tags, model.created, keys, default_alias))
        except SpecFault as fault:
            faults[model.name] = str(fault)
    return Claims(tuple(served), faults)


def claims_of_files(found: Iterable[Served], faults: Mapping[str, str]) -> Claims:
    return Claims(tuple(found), dict(faults), complete=not faults, by_tags=False)


def only(claims: Claims, pools: Collection[str]) -> Claims:
    """The claims to these pools; a claim to another one is a fault."""
    told = f"is not allowed here: this operator has {', '.join(map(repr, pools))} only"
    other = {
        c.model if claims.by_tags else c.served: f"pool of {c.served}: {c.pool!r} {told}"
        for c in claims.served
        if c.pool not in pools
    }
    inside = tuple(claim for claim in claims.served if claim.pool in pools)
    return msgspec.structs.replace(claims, served=inside, faults={**claims.faults, **other})


def chooser(keys: Tags, default_alias: str, claims: Iterable[Served]) -> Callable[[RegisteredModel], list[str]]:
    """Which versions of a model must be looked up: those that its aliases name for whoever claims it."""
    by_model: dict[str, list[Served]] = {}
    for claim in claims:
        by_model.setdefault(claim.model, []).append(claim)

    def choose(model: RegisteredModel) -> list[str]:
        aliases = [claim.alias for claim in by_model.get(model.name, ()) if claim.alias]
        if keys.asks(model.tags):
            aliases.append(keys.get(model.tags, "alias") or default_alias)
        fixed = [claim.version for claim in by_model.get(model.name, ()) if claim.version]
        return list(dict.fromkeys(fixed + [model.aliases[alias] for alias in aliases if alias in model.aliases]))

    return choose


def look(old: Sightings, claims: Claims, snapshot: Snapshot, holders: Mapping[str, str]) -> Sightings:
    """The sightings after one more complete answer, which was asked for what these claims name. `holders`: what is
    served now, served name -> model."""
    asked = _asked(old, claims, snapshot, holders)
    wanted, absent = {}, dict(asked.absent)
    for served, claim in asked.claims.items():
        had = asked.wanted.get(served, Wanted())
        found = had if served in absent else _find(claim, snapshot, had)
        lacks = "denied" if found.denied else found.gone[0] if found.gone else ""
        if lacks and served not in absent:
            absent[served] = _count(old, served, lacks)
            found = found if absent[served][1] >= LOOKS else had
        wanted[served] = found
    return msgspec.structs.replace(asked, wanted=wanted, absent=absent)


def ask(old: Sightings, claims: Claims, holders: Mapping[str, str]) -> Sightings:
    """The sightings after a change of claims that are `certain`, between two answers of the registry: who asks is
    new, what the registry has is as before, and nothing of it is counted once more."""
    asked = _asked(old, claims, None, holders)
    kept = {served: counted for served, counted in old.absent.items() if served in asked.wanted}
    return msgspec.structs.replace(asked, absent=kept)


def _asked(old: Sightings, claims: Claims, snapshot: Snapshot | None, holders: Mapping[str, str]) -> Sightings:
    """Who has each name now. What the registry had of a claim stays in `wanted` while it asks for the same."""
    by_name: dict[str, list[Served]] = {}
    for claim in claims.served:
        by_name.setdefault(claim.served, []).append(claim)
    present: dict[str, Served] = {}
    absent: dict[str, tuple[str, int]] = {}
    removed = set()
    for served in sorted({*holders, *old.claims, *by_name}):
        holder = old.claims.get(served) or Served(served, holders.get(served, served))
        others = sorted(by_name.get(served, ()), key=lambda claim: _rank(claim, holder))
        if others and (served not in old.claims or _holds(others[0], holder)):
            present[served] = others[0]
            continue
        if not _certain(holder, claims, snapshot):
            present[served] = holder
            continue
        counted = _count(old, served, "removed")
        if counted[1] < LOOKS and not claims.certain:
            absent[served] = counted
            present |= {served: holder} if served in old.claims else {}
        elif others:
            present[served] = others[0]
        else:
            absent[served] = counted
            removed.add(served)
    lost = tuple(
        Lost(claim, present[claim.served], _version(claim, snapshot))
        for claim in claims.served
        if claim.served in present and present[claim.served] is not claim
    )
    wanted = {
        served: old.wanted[served]
        for served, claim in present.items()
        if served in old.wanted and served in old.claims and _source(old.claims[served]) == _source(claim)
    }
    return Sightings(present, wanted, frozenset(removed), absent, lost, dict(claims.faults), heard=True)


def _rank(claim: Served, holder: Served) -> tuple[bool, bool, int, str, str]:
    """Who holds the name keeps it: the object, or else the model; then the older one has it."""
    return (claim.ref != holder.ref, claim.model != holder.model, claim.created, claim.model, claim.ref)


def _holds(claim: Served, holder: Served) -> bool:
    return claim.ref == holder.ref if claim.ref else claim.model == holder.model


def _source(claim: Served) -> tuple[str, str, str]:
    return (claim.model, claim.alias, claim.version)


def _version(claim: Served, snapshot: Snapshot | None) -> str:
    """The version that a claim names, as far as the registry tells."""
    model = snapshot.models.get(claim.model) if snapshot else None
    return claim.version or (model.aliases.get(claim.alias, "") if model else "")


def _certain(claim: Served, claims: Claims, snapshot: Snapshot | None) -> bool:
    """Whether this look proves that nobody makes the claim any more: its tag, file or object is gone, and not
    merely unreadable. A model that is gone took its tags with it: that is no removal."""
    if not claims.complete or not {claim.ref or claim.served, claim.model, claim.served}.isdisjoint(claims.faults):
        return False
    return snapshot is not None and claim.model in snapshot.models if claims.by_tags else True


def _count(old: Sightings, served: str, kind: str) -> tuple[str, int]:
    before, looks = old.absent.get(served, (kind, 0))
    return (kind, looks + 1 if before == kind else 1)


def _find(claim: Served, snapshot: Snapshot, had: Wanted) -> Wanted:
    """What one look says of a claim; `had` is what was known of it."""
    if claim.model in snapshot.denied:
        told = f"the registry does not let the operator's user read the model {claim.model!r}: give it that permission"
        return msgspec.structs.replace(had, denied=told)
    model = snapshot.models.get(claim.model)
    if model is None:
        hint = snapshot.hints.get(claim.model, "")
        told = f"model {claim.model!r} is gone from the registry" + (f": {hint}" if hint else "")
        return Wanted(gone=("ModelGone", told))
    if not claim.version and not claim.alias:
        return Wanted()
    version = claim.version or model.aliases.get(claim.alias, "")
    if not version:
        return Wanted(gone=("AliasGone", f"no version of {claim.model!r} has the alias {claim.alias!r}"))
    target = snapshot.versions.get(claim.model, {}).get(version)
    if target is None:
        named = f"the alias {claim.alias!r} names" if claim.alias else "the ServedModel names"
        return Wanted(gone=("VersionGone", f"{named} version {version} of {claim.model!r}, which does not exist"))
    said = sharing.own(target.status, claim.pool, claim.served)
    if said != target.status:
        ours = sharing.names(target.status, claim.pool, claim.served)
        target = msgspec.structs.replace(target, status=said, names_claim=ours)
    return Wanted(target)
