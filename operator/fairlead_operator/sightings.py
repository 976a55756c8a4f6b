"""What complete answers of the registry add up to: who asks for what, and what has really gone. Pure.

One look never takes anything away: a tag, an alias, a version or a model counts as gone after three complete
answers in a row that say so. Errors and partial pages never come here. Of two claims to one served name the
holder keeps it, then the older wins; the other is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from fairlead_operator.spec import Served, SpecFault, Tags, from_tags
from fairlead_operator.state import RegisteredModel, Snapshot, Wanted

LOOKS = 3
POOL = "default"  # the one pool that a standalone operator has


class Claims(msgspec.Struct, frozen=True):
    """What is asked for in one look. `faults`: claims that cannot be read, by model, served name or file.
    `complete`: what is not in here is not asked for (a folder with a broken file is not)."""

    served: tuple[Served, ...]
    faults: dict[str, str] = {}
    complete: bool = True
    by_tags: bool = True


class Lost(msgspec.Struct, frozen=True):
    """A claim to a name that another model's claim holds; `version` is what it would serve, "" if unknown."""

    claim: Served
    winner: str
    version: str


class Sightings(msgspec.Struct, frozen=True):
    """By served name, but `set_aside` and `faults`. `absent` counts looks."""

    claims: dict[str, Served] = {}
    wanted: dict[str, Wanted] = {}
    removed: frozenset[str] = frozenset()
    absent: dict[str, tuple[str, int]] = {}
    set_aside: tuple[Lost, ...] = ()
    faults: dict[str, str] = {}


def claims_of_tags(snapshot: Snapshot, keys: Tags, default_alias: str) -> Claims:
    """The claims that the tags of registered models make."""
    served, faults = [], {}
    for model in snapshot.models.values():
        if not keys.asks(model.tags):
            continue
        try:
            served.append(_allowed(from_tags(model.name, model.tags, model.created, keys, default_alias)))
        except SpecFault as fault:
            faults[model.name] = str(fault)
    return Claims(tuple(served), faults)


def claims_of_files(found: Iterable[Served], faults: Mapping[str, str]) -> Claims:
    served, bad = [], dict(faults)
    for claim in found:
        try:
            served.append(_allowed(claim))
        except SpecFault as fault:
            bad[claim.served] = str(fault)
    return Claims(tuple(served), bad, complete=not faults, by_tags=False)


def _allowed(claim: Served) -> Served:
    if claim.pool != POOL:
        raise SpecFault(
            f"pool of {claim.served}", f"{claim.pool!r} is not allowed here: this operator has {POOL!r} only"
        )
    return claim


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
    """The sightings after one more complete answer. `holders`: what is served now, served name -> model."""
    winners, set_aside = _settle(claims.served, snapshot, holders)
    present = dict(winners)
    absent: dict[str, tuple[str, int]] = {}
    removed = set()
    for served in sorted({*holders, *old.claims} - set(winners)):
        claim = old.claims.get(served) or Served(served, holders.get(served, served))
        if not _certain(claim, claims, snapshot):
            present[served] = claim
            continue
        absent[served] = _count(old, served, "removed")
        if absent[served][1] >= LOOKS:
            removed.add(served)
        elif served in old.claims:
            present[served] = claim
    wanted = {}
    for served, claim in present.items():
        found = old.wanted.get(served, Wanted()) if served in absent else _find(claim, snapshot)
        if found.gone is not None and served not in absent:
            absent[served] = _count(old, served, found.gone[0])
            found = found if absent[served][1] >= LOOKS else old.wanted.get(served, Wanted())
        wanted[served] = found
    return Sightings(present, wanted, frozenset(removed), absent, set_aside, dict(claims.faults))


def _settle(
    claims: Iterable[Served], snapshot: Snapshot, holders: Mapping[str, str]
) -> tuple[dict[str, Served], tuple[Lost, ...]]:
    """One claim to each served name, and the others with the model that they lost to."""
    winners: dict[str, Served] = {}
    lost = []
    for claim in sorted(claims, key=lambda c: (holders.get(c.served) != c.model, c.created, c.model)):
        winner = winners.setdefault(claim.served, claim)
        if winner is not claim:
            model = snapshot.models.get(claim.model)
            version = claim.version or (model.aliases.get(claim.alias, "") if model else "")
            lost.append(Lost(claim, winner.model, version))
    return winners, tuple(lost)


def _certain(claim: Served, claims: Claims, snapshot: Snapshot) -> bool:
    """Whether this look proves that nobody makes the claim any more: its tag or its file is gone, and not
    merely unreadable. A model that is gone took its tags with it: that is no removal."""
    if not claims.complete or claim.model in claims.faults or claim.served in claims.faults:
        return False
    return claim.model in snapshot.models if claims.by_tags else True


def _count(old: Sightings, served: str, kind: str) -> tuple[str, int]:
    before, looks = old.absent.get(served, (kind, 0))
    return (kind, looks + 1 if before == kind else 1)


def _find(claim: Served, snapshot: Snapshot) -> Wanted:
    """What one look says of a claim."""
    model = snapshot.models.get(claim.model)
    if model is None:
        return Wanted(gone=("ModelGone", f"model {claim.model!r} is gone from the registry"))
    if not claim.version and not claim.alias:
        return Wanted()
    version = claim.version or model.aliases.get(claim.alias, "")
    if not version:
        return Wanted(gone=("AliasGone", f"no version of {claim.model!r} has the alias {claim.alias!r}"))
    target = snapshot.versions.get(claim.model, {}).get(version)
    if target is None:
        named = f"the alias {claim.alias!r} names" if claim.alias else "the ServedModel names"
        return Wanted(gone=("VersionGone", f"{named} version {version} of {claim.model!r}, which does not exist"))
    return Wanted(target)
