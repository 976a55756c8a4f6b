"""observe -> plan -> apply -> write the memory, for every served model of one pool. One step at a time.

    observe   the replicas' statuses, the stored catalog, what the registry added up to
    plan      one pure decision for each served model (one that fails spares the others)
    apply     store the next catalog if it differs, then PUT the stored bytes to every replica that is behind
    remember  each rollout's memory, and the report

Level-triggered: a step that is killed at any line is made good by the next one, in this process or another.
The registry is not called here: its answers come in as Sightings, and the tags that are wanted go out by
`said()`, so that a registry that hangs delays nothing.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Protocol

import msgspec

from fairlead_operator import log, report, tags
from fairlead_operator.delivery import Carrier, Delivery, Fleet
from fairlead_operator.documents import Catalog, ModelEntry
from fairlead_operator.plan import Limits
from fairlead_operator.planning import Planner, Scene, merged, next_catalog, recalled, retired
from fairlead_operator.report import Line
from fairlead_operator.sharing import Note, Said
from fairlead_operator.sightings import Sightings
from fairlead_operator.spec import Served
from fairlead_operator.state import (
    Event,
    Outlook,
    Phase,
    Plan,
    Rollout,
    Seen,
    Stored,
    VersionTags,
)

HAPPENED = 10_000  # decisions kept for whoever asks
TELLING_S = 60.0  # for the tags of a model whose name another one takes over
MOVING = (Phase.LOADING, Phase.SWITCHING)
_NOTHING = VersionTags()


class Records(Protocol):
    """See records.FileRecords."""

    def load(self) -> dict[str, Rollout]: ...
    def save(self, rollout: Rollout) -> None: ...
    def delete(self, served: str) -> None: ...


class Reconciler:
    """All served models of one pool. `watching` is when this operator began to look (Unix seconds)."""

    def __init__(self, fleet: Fleet, carrier: Carrier, records: Records, limits: Limits, watching: float) -> None:
        self.begun = False  # the stored catalog has been read
        self._delivery = Delivery(fleet, carrier)
        self._carrier = carrier
        self._records = records
        self._planner = Planner(carrier, limits, watching)
        self._watching = watching
        self._rollouts = records.load()
        self._saved = dict(self._rollouts)
        self._aside: dict[str, Rollout] = {}  # claims that lost: told, and never stored
        self._faults: dict[str, str] = {}
        self._unwritten: frozenset[str] = frozenset()
        self._notes: list[Note] = []
        self._said: dict[str, tuple[Rollout, tuple[Said, ...]]] = {}  # by rollout, as it was asked for last
        self._happened: collections.deque[tuple[str, Event]] = collections.deque(maxlen=HAPPENED)
        self._outlooks: dict[str, Outlook] = {}  # as they were told last
        self._models: dict[str, ModelEntry] = {}  # the stored catalog's, and
        self._seen: dict[str, Seen] = {}  # the replicas, as of the last step

    # --- what others may ask

    def holders(self) -> dict[str, str]:
        """Served names that are in the catalog or remembered, with their models."""
        return {
            **{name: name for name in self._models},
            **{served: rollout.model for served, rollout in self._rollouts.items()},
            **{name: entry.model for name, entry in self._models.items() if entry.model},
        }

    def claims(self) -> dict[str, Served]:
        """What was asked for last, as far as it is remembered: it stays in force while it cannot be read."""
        return {served: rollout.spec for served, rollout in self._rollouts.items() if rollout.spec is not None}

    def freeze(self, why: str) -> None:
        """From the next step on nothing is changed in the catalog, until it is called with ""."""
        limits = self._planner.limits
        if why != limits.frozen:
            log.warning("frozen" if why else "no longer frozen", why=why or "rollouts go on")
        self._planner.limits = msgspec.structs.replace(limits, frozen=why)

    def moving(self) -> bool:
        return any(rollout.phase in MOVING for rollout in self._rollouts.values())

    def said(self, pool: str) -> list[Said]:
        """What the claims of this pool, whose name this is, say of their versions in the registry."""
        every = {**self._rollouts, **{f"aside/{who}": rollout for who, rollout in self._aside.items()}}
        for note in self._notes:
            if note.key in every:
                every[note.key] = tags.noted(every[note.key], note.version, note.tag, note.value)
        self._said = {key: self._words(pool, key, rollout) for key, rollout in every.items()}
        return [said for _, words in self._said.values() for said in words]

    def _words(self, pool: str, key: str, rollout: Rollout) -> tuple[Rollout, tuple[Said, ...]]:
        old = self._said.get(key)
        if old is not None and old[0] is rollout:
            return old
        return rollout, tuple(
            Said(pool, key, rollout.served, rollout.model, version, wanted, rollout.written.get(version, _NOTHING))
            for version, wanted in rollout.tags.items()
        )

    def told(self, note: Note) -> None:
        """The registry has been told this. The next step remembers it: one under way would forget it."""
        self._notes.append(note)

    def _take_notes(self) -> None:
        for note in self._notes:
            group = self._aside if note.key.startswith("aside/") else self._rollouts
            key = note.key.removeprefix("aside/") if group is self._aside else note.key
            if key in group:
                group[key] = tags.noted(group[key], note.version, note.tag, note.value)
        self._notes.clear()

    def lines(self) -> tuple[Line, ...]:
        """Every rollout as the report shows it."""
        return report.lines(self.outlooks())

    def outlooks(self) -> tuple[Outlook, ...]:
        """Every claim after the last step: who has its name, who lost it, and what cannot be read."""
        rested = {served: self._outlooks[served] for served in self._planner.rests if served in self._outlooks}
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

    async def begin(self) -> None:
        """Who has which name is the stored catalog's knowledge: for whoever wants it read before it is judged who asks.
        Raises like `step`."""
        if not self.begun:
            stored, seen = await self._read()
            self._models, self._seen = stored.catalog.models, seen

    async def _read(self) -> tuple[Stored, dict[str, Seen]]:
        seen = await self._delivery.observe()
        stored = await self._delivery.newest(await self._carrier.read(), seen)
        if not self.begun:
            self._recall(stored.catalog)
            self.begun = True
        return stored, seen

    def _recall(self, catalog: Catalog) -> None:
        """What another operator left untold. From then on it is remembered here."""
        for served, known in catalog.retired.items():
            rollout, entry = self._rollouts.get(served), catalog.models.get(served)
            if rollout is None or (entry is None and rollout.model != known.model):
                self._rollouts[served] = recalled(served, known, entry, self._watching)

    async def step(self, sightings: Sightings, now: float) -> None:
        """Raises CatalogConflict or OSError when the catalog could not be stored: nothing was PUT then."""
        stored, seen = await self._read()
        base = self._delivery.base(stored, seen)
        scene = Scene(sightings, stored, seen, base, now)
        self._take_notes()
        self._hand_over(scene)
        plans = self._planner.plans(self._rollouts, scene)
        stored = await self._store(plans, scene)
        self._tell(plans, stored.catalog.generation)
        await self._delivery.send(stored, seen)
        self._models, self._seen = stored.catalog.models, seen
        self._remember(plans, sightings)

    def _hand_over(self, scene: Scene) -> None:
        """What another model's claim waits for is that the registry is told what is no longer served; not for ever."""
        for served, claim in scene.sightings.claims.items():
            rollout = self._rollouts.get(served)
            if rollout is None or rollout.model == claim.model or served in scene.stored.catalog.models:
                continue
            if rollout.phase is Phase.RETIRED and scene.now - rollout.since >= TELLING_S:
                self._forget(served)

    def _forget(self, served: str) -> None:
        self._rollouts.pop(served, None)
        self._planner.forget(served)
        self._saved.pop(served, None)
        self._records.delete(served)

    async def _store(self, plans: Mapping[str, Plan], scene: Scene) -> Stored:
        """Generation N+1, when anything differs, or when the number itself is not above what some replica has. The
        first one may be empty: a replica without a catalog is not ready, and one of a pool without models should be.
        What the registry was still to be told goes once all of it is told, not piece by piece."""
        stored, base = scene.stored, scene.base
        models = merged(stored.catalog.models, plans)
        generation = stored.catalog.generation
        same = models == stored.catalog.models and (stored.data is None or stored.catalog.owner == self._carrier.owner)
        left = {} if same and not stored.catalog.retired else retired(self._rollouts, plans, scene)
        told = bool(stored.catalog.retired) and not left and not self._planner.limits.frozen
        first = scene.sightings.heard and base == 0 and stored.data is None
        current = not models or (base == generation and self._delivery.floor < generation)
        if same and current and not told and not first:
            return stored
        self._unwritten = frozenset(_differing(models, stored.catalog.models))
        written = await self._carrier.write(next_catalog(scene, models, left, self._carrier.owner), stored)
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
