"""Which plans need not be made again: the same inputs give the same plan, and most rollouts rest. Pure.

A plan that changed nothing (entry, memory, no event) stays the plan until something that it was made of changes:
what is asked for, what is stored, whether more can be, what the replicas say of that model, or, where a hold ends, the
time. Readings are no input: a model under traffic rests, too. This module must know what plan.py reads, and its test
compares the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec

from fairlead_operator.documents import ModelEntry, ModelStatus, VersionStatus
from fairlead_operator.promotion import Limits
from fairlead_operator.spec import Served
from fairlead_operator.state import Observed, Phase, Plan, Rollout, Seen, Wanted

AT_REST = (Phase.SERVING, Phase.HOLDING, Phase.WAITING, Phase.REFUSED, Phase.APPROVAL, Phase.PAUSED)

Common = tuple[Limits, tuple[tuple[str, str], ...]]


class Rest(msgspec.Struct, frozen=True, gc=False):
    """What a plan that changed nothing was made of. `until`: when time alone may change it (Unix seconds)."""

    spec: Served
    rollout: Rollout
    entry: ModelEntry | None
    wanted: Wanted
    models: tuple[ModelStatus | None, ...]
    common: Common
    until: float
    full: str = ""


def common(limits: Limits, generation: int, replicas: Mapping[str, Seen]) -> Common:
    """What all rollouts of a pool are planned from alike: its limits, and which replicas count. How new the stored
    catalog is shows only where a replica is behind it."""
    return limits, tuple((address, _counts(seen, generation)) for address, seen in replicas.items())


def _counts(seen: Seen, generation: int) -> str:
    if isinstance(seen, str):
        return seen
    return "" if seen.generation >= generation else f"{seen.generation} of {generation}"


def models(served: str, replicas: Mapping[str, Seen]) -> tuple[ModelStatus | None, ...]:
    return tuple(None if isinstance(seen, str) else seen.models.get(served) for seen in replicas.values())


def rest(spec: Served | None, old: Rollout, observed: Observed, decided: Plan, shared: Common) -> Rest | None:
    """The rest that begins with this plan; None where it moves, or time may change it."""
    rollout = decided.rollout
    if spec is None or decided.events or rollout.phase not in AT_REST or decided.entry != observed.entry:
        return None
    moving = rollout.phase is not Phase.PAUSED and rollout.phase is not Phase.APPROVAL and rollout.candidate is not None
    if moving or rollout != old or 0.0 in rollout.held.values():
        return None
    hold_s = shared[0].hold_s if spec.hold_s is None else spec.hold_s
    until = min(rollout.held.values(), default=float("inf")) + hold_s
    present = models(rollout.served, observed.replicas)
    return Rest(spec, rollout, observed.entry, observed.wanted, present, shared, until, observed.full)


def goes_on(old: Rest, spec: Served | None, rollout: Rollout, observed: Observed, shared: Common, now: float) -> bool:
    """Whether a plan made now would be the same as when the rest began."""
    return (
        now < old.until
        and old.rollout is rollout
        and old.common == shared
        and old.full == observed.full
        and old.spec == spec
        and old.entry == observed.entry
        and old.wanted == observed.wanted
        and all(map(_alike, old.models, models(rollout.served, observed.replicas), itertools.repeat(rollout.switched)))
    )


def _alike(one: ModelStatus | None, other: ModelStatus | None, switched: int) -> bool:
    """Whether a replica says the same of a model, as far as plans read it."""
    if one is other:
        return True
    if one is None or other is None or one.versions.keys() != other.versions.keys():
        return False
    if (
        (one.applied >= switched) != (other.applied >= switched)
        or one.route != other.route
        or one.reason != other.reason
    ):
        return False
    return all(_same(version, other.versions[name]) for name, version in one.versions.items())


def _same(one: VersionStatus, other: VersionStatus) -> bool:
    smoke = one.profile.smoke if one.profile else None
    return (
        one.state == other.state
        and one.digest == other.digest
        and one.reason == other.reason
        and one.final == other.final
        and one.signature == other.signature
        and smoke == (other.profile.smoke if other.profile else None)
    )
