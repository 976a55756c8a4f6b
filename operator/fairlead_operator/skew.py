"""Replicas of several releases side by side: what is written is what the oldest of them knows. Pure.

A replica refuses a whole document that requires what it does not know, so one model's wish must not be stored
before every replica can obey it. Fields that an old replica may pass over (an attempt, a setting) need no feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from fairlead_operator.documents import Catalog, ModelEntry
from fairlead_operator.state import Plan, Rollout, Seen

BASE = frozenset({"weights", "aliases"})  # every release knows these
TOO_NEW = "TooNew"  # the condition


def features(seen: Mapping[str, Seen], old: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """By address. A replica that does not answer now knows what it knew."""
    told = {address: frozenset(s.features) for address, s in seen.items() if not isinstance(s, str)}
    return {
        address: told[address] if address in told else old[address] for address in seen if {address} & {*told, *old}
    }


def known(by_address: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What all replicas know; the least while there is none."""
    return BASE | frozenset.intersection(*by_address.values()) if by_address else BASE


def needs(entry: ModelEntry) -> frozenset[str]:
    """What a replica must understand to serve this entry as it is meant."""
    found = {"sticky"} if entry.route.sticky is not None else set()
    return frozenset(found | ({"match"} if entry.route.matches else set()))


def requires(models: Mapping[str, ModelEntry], stored: Catalog) -> tuple[str, ...]:
    """The next catalog's own list. An entry that stays as it is makes it no longer: somebody who wrote it by hand may
    have left its need out, and a replica that passes it over would refuse the document because of another model."""
    changed = (entry for name, entry in models.items() if entry != stored.models.get(name))
    return tuple(sorted((_all_need(models.values()) & {*stored.requires}) | _all_need(changed)))


def _all_need(entries: Iterable[ModelEntry]) -> frozenset[str]:
    return frozenset[str]().union(*map(needs, entries))


def writable(
    decided: Plan, stored: ModelEntry | None, before: Rollout, by_address: Mapping[str, frozenset[str]]
) -> Plan:
    """The plan; or none at all, with the reason, while some replica could not obey it."""
    if decided.entry is None or decided.entry == stored:
        return decided
    missing = needs(decided.entry) - known(by_address)
    if not missing:
        return decided
    lacking = sorted(address for address, has in by_address.items() if missing - has) or ["no replica has answered yet"]
    why = f"it needs {', '.join(sorted(missing))}, which not every replica knows: upgrade the pool first ({lacking[0]})"
    kept = msgspec.structs.replace(
        before,
        model=decided.rollout.model,
        spec=decided.rollout.spec,
        phase=decided.rollout.phase if before.since == 0.0 else before.phase,
        since=before.since or decided.rollout.since,
        reason=why,
        conditions={**decided.rollout.conditions, TOO_NEW: why},
    )
    return Plan(stored, kept)
