"""observe -> plan -> apply -> write the memory, for every served model of one pool. One step at a time.

    observe   the replicas' statuses, the stored catalog, what the registry added up to
    plan      one pure decision for each served model (one that fails spares the others)
    apply     store the next catalog if it differs, then PUT the stored bytes to every replica that is behind
    remember  each rollout's memory, and the report

Level-triggered: a step that is killed at any line is made good by the next one, in this process or another.
The registry is not called here: its answers come in as Sightings, and the tags that are wanted go out by
`untold()`, so that a registry that hangs delays nothing.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Protocol

import msgspec

from fairlead_operator import log, report, resting, skew, tags
from fairlead_operator.delivery import Carrier, Delivery, Fleet
from fairlead_operator.documents import Catalog, ModelEntry
from fairlead_operator.plan import Limits, plan
from fairlead_operator.report import Line
from fairlead_operator.sightings import Sightings
from fairlead_operator.spec import Served
from fairlead_operator.state import (
    Event,
    Observed,
    Outlook,
    Phase,
    Plan,
    Rollout,
    Seen,
    Stored,
    Wanted,
)

HAPPENED = 10_000  # decisions kept for whoever asks
TELLING_S = 60.0  # for the tags of a model whose name another one takes over
MOVING = (Phase.LOADING, Phase.SWITCHING)
_UNKNOWN = Wanted()


class Records(Protocol):
    """See records.FileRecords."""

    def load(self) -> dict[str, Rollout]: ...
    def save(self, rollout: Rollout) -> None: ...
    def delete(self, served: str) -> None: ...


class Untold(msgspec.Struct, frozen=True):
    """One tag that the registry should be told."""

    key: str
    model: str
    version: str
    tag: str
    value: str


class Reconciler:
    """All served models of one pool. `watching` is when this operator began to look (Unix seconds)."""

    def __init__(self, fleet: Fleet, carrier: Carrier, records: Records, limits: Limits, watching: float) -> None:
        self._delivery = Delivery(fleet, carrier)
        self._carrier = carrier
        self._records = records
        self._limits = limits
        self._watching = watching
        self._rollouts = records.load()
        self._saved = dict(self._rollouts)
        self._aside: dict[str, Rollout] = {}  # claims that lost: told, and never stored
        self._faults: dict[str, str] = {}
        self._unwritten: frozenset[str] = frozenset()
        self._happened: collections.deque[tuple[str, Event]] = collections.deque(maxlen=HAPPENED)
        self._features: dict[str, frozenset[str]] = {}  # by address
        self._rests: dict[str, resting.Rest] = {}
        self._outlooks: dict[str, Outlook] = {}  # as they were told last
        self._models: dict[str, ModelEntry] = {}  # the stored catalog's, and
        self._seen: dict[str, Seen] = {}  # the replicas, as of the last step

    # --- what others may ask

    def holders(self) -> dict[str, str]:
        """Served names that are in the catalog or remembered, with their models."""
        return {name: name for name in self._models} | {
            served: rollout.model for served, rollout in self._rollouts.items()
        }

    def claims(self) -> dict[str, Served]:
        """What was asked for last, as far as it is remembered: it stays in force while it cannot be read."""
        return {served: rollout.spec for served, rollout in self._rollouts.items() if rollout.spec is not None}

    def freeze(self, why: str) -> None:
        """From the next step on nothing is changed in the catalog, until it is called with ""."""
        if why != self._limits.frozen:
            log.warning("frozen" if why else "no longer frozen", why=why or "rollouts go on")
        self._limits = msgspec.structs.replace(self._limits, frozen=why)

    def moving(self) -> bool:
        return any(rollout.phase in MOVING for rollout in self._rollouts.values())

    def untold(self) -> list[Untold]:
        """Tags that the registry should have and, as far as is known, has not."""
        every = {**self._rollouts, **{f"aside/{who}": rollout for who, rollout in self._aside.items()}}
        return [
            Untold(key, rollout.model, version, tag, value)
            for key, rollout in every.items()
            for version, tag, value in tags.missing(rollout)
        ]

    def told(self, untold: Untold) -> None:
        """The registry has taken this tag."""
        group = self._aside if untold.key.startswith("aside/") else self._rollouts
        key = untold.key.removeprefix("aside/") if group is self._aside else untold.key
        if key in group:
            group[key] = tags.noted(group[key], untold.version, untold.tag, untold.value)

    def lines(self) -> tuple[Line, ...]:
        """Every rollout as the report shows it."""
        return report.lines(self.outlooks())

    def outlooks(self) -> tuple[Outlook, ...]:
        """Every claim after the last step: who has its name, who lost it, and what cannot be read."""
        rested = {served: self._outlooks[served] for served in self._rests if served in self._outlooks}
        rollouts = [*self._rollouts.values(), *self._aside.values()]
        found = report.outlooks(rollouts, self._faults, self._models, self._seen, self._watching, rested)
        self._outlooks = {outlook.rollout.served: outlook for outlook in found if outlook.ref or not outlook.fault}
        return found

    def unwritten(self) -> frozenset[str]:
        """Served names whose change the catalog could not take in the last step."""
        return self._unwritten

    def happened(self) -> list[tuple[str, Event]]:
        """What was decided since this was asked last, by served name."""
        happened = list(self._happened)
        self._happened.clear()
        return happened

    # --- one step

    async def step(self, sightings: Sightings, now: float) -> None:
        """Raises CatalogConflict or OSError when the catalog could not be stored: nothing was PUT then."""
        seen = await self._delivery.observe()
        stored = await self._delivery.newest(await self._carrier.read(), seen)
        base = self._delivery.base(stored, seen)
        self._features = skew.features(seen, self._features)
        plans = self._plans(sightings, stored.catalog, seen, base, now)
        stored = await self._store(stored, plans, base, sightings.heard)
        self._tell(plans, stored.catalog.generation)
        await self._delivery.send(stored, seen)
        self._models, self._seen = stored.catalog.models, seen
        self._remember(plans, sightings)

    def _plans(
        self, sightings: Sightings, catalog: Catalog, seen: dict[str, Seen], base: int, now: float
    ) -> dict[str, Plan]:
        plans = {}
        shared = resting.common(self._limits, catalog.generation, seen)
        for served in sorted({*catalog.models, *self._rollouts, *sightings.claims}):
            self._hand_over(served, sightings, catalog, now)
            spec, known = self._spec(served, sightings)
            if not known:
                continue
            old = self._rollouts.get(served) or Rollout(served, spec.model if spec else served)
            observed = Observed(
                entry=catalog.models.get(served),
                generation=catalog.generation,
                replicas=seen,
                wanted=sightings.wanted.get(served, _UNKNOWN),
                next_generation=base + 1,
                watching=self._watching,
            )
            rest = self._rests.get(served)
            if rest is not None and resting.goes_on(rest, spec, old, observed, shared, now):
                continue
            try:
                plans[served] = self._plan(spec, old, observed, shared, now)
            except Exception as error:  # one model's fault must not stop the others
                log.warning("plan failed", served=served, why=repr(error))
        return plans

    def _plan(self, spec: Served | None, old: Rollout, observed: Observed, shared: resting.Common, now: float) -> Plan:
        decided = plan(spec, old, observed, now, self._limits)
        rest = resting.rest(spec, old, observed, decided, shared)
        self._rests.pop(old.served, None)
        if rest is not None:
            self._rests[old.served] = rest
        return skew.writable(decided, observed.entry, old, self._features)

    def _spec(self, served: str, sightings: Sightings) -> tuple[Served | None, bool]:
        """(what is asked for, whether that is known at all). None and known: nobody asks any more."""
        if served in sightings.removed:
            return None, True
        rollout = self._rollouts.get(served)
        claim = sightings.claims.get(served)
        if rollout is not None and rollout.phase is Phase.RETIRED and claim is None:
            return None, True
        if rollout is not None and claim is not None and rollout.model != claim.model:
            return None, True  # the name goes to another model: what it served is left out first
        spec = claim or (rollout.spec if rollout else None)
        return spec, spec is not None

    def _hand_over(self, served: str, sightings: Sightings, catalog: Catalog, now: float) -> None:
        """What another model's claim waits for is that the registry is told what is no longer served; not for ever."""
        rollout, claim = self._rollouts.get(served), sightings.claims.get(served)
        if rollout is None or claim is None or rollout.model == claim.model or served in catalog.models:
            return
        if rollout.phase is Phase.RETIRED and now - rollout.since >= TELLING_S:
            self._forget(served)

    def _forget(self, served: str) -> None:
        self._rollouts.pop(served, None)
        self._rests.pop(served, None)
        self._saved.pop(served, None)
        self._records.delete(served)

    async def _store(self, stored: Stored, plans: Mapping[str, Plan], base: int, heard: bool) -> Stored:
        """Generation N+1, when anything differs, or when the number itself is not above what some replica has. The
        first one may be empty: a replica without a catalog is not ready, and one of a pool without models should be."""
        models: dict[str, ModelEntry] = dict(stored.catalog.models)
        for served, decided in plans.items():
            if decided.entry is None:
                models.pop(served, None)
            else:
                models[served] = decided.entry
        generation = stored.catalog.generation
        same = models == stored.catalog.models and (stored.data is None or stored.catalog.owner == self._carrier.owner)
        first = heard and base == 0 and stored.data is None
        if same and not first and (not models or (base == generation and self._delivery.floor < generation)):
            return stored
        catalog = Catalog(
            stored.catalog.apiVersion, base + 1, models, self._carrier.owner, skew.requires(models.values())
        )
        self._unwritten = frozenset(_differing(models, stored.catalog.models))
        written = await self._carrier.write(catalog, stored)
        self._unwritten = frozenset()
        return written

    def _tell(self, plans: Mapping[str, Plan], generation: int) -> None:
        """Each decision of a step that was stored, or needed no storing."""
        for served, decided in plans.items():
            self._happened += [(served, event) for event in decided.events]
            for event in decided.events:
                log.info(
                    event.what, served=served, model=decided.rollout.model, version=event.version, why=event.why,
                    digest=event.digest, generation=generation, **({"who": event.who} if event.who else {}),
                )  # fmt: skip

    def _remember(self, plans: Mapping[str, Plan], sightings: Sightings) -> None:
        self._faults = sightings.faults
        for served, decided in plans.items():
            self._log_change(self._rollouts.get(served), decided.rollout)
            if decided.done:
                self._forget(served)
            else:
                self._rollouts[served] = decided.rollout
        aside = report.aside(sightings, self._aside, self._watching)
        for who, rollout in aside.items():
            self._log_change(self._aside.get(who), rollout)
        self._aside = aside
        for served, rollout in self._rollouts.items():
            if self._saved.get(served) is rollout:
                continue
            if self._saved.get(served) != rollout:
                self._records.save(rollout)
            self._saved[served] = rollout

    def _log_change(self, old: Rollout | None, new: Rollout) -> None:
        if old is None or (old.phase, old.reason, old.conditions) != (new.phase, new.reason, new.conditions):
            log.info(
                "rollout", served=new.served, model=new.model, phase=new.phase.value, why=new.reason,
                conditions=new.conditions,
            )  # fmt: skip


def _differing(new: Mapping[str, ModelEntry], old: Mapping[str, ModelEntry]) -> set[str]:
    return {name for name in {*new, *old} if new.get(name) != old.get(name)}
