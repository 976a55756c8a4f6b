"""One plan for each served model of a pool that does not rest; where not all of them fit into the catalog, those that
wait are planned once more.

    who asks -> plan, or rest -> what replicas know (skew) -> what the catalog has room for (fitting)

It remembers what rests and what waits; all that is to last is the rollouts' and the catalog's: whose model an entry is,
and what the registry is still to be told of models that were left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from fairlead_operator import fitting, log, resting, skew
from fairlead_operator.delivery import Carrier
from fairlead_operator.documents import Catalog, ModelEntry, Retired
from fairlead_operator.plan import Limits, plan
from fairlead_operator.sharing import OVER
from fairlead_operator.sightings import Sightings
from fairlead_operator.spec import Served
from fairlead_operator.state import Observed, Phase, Plan, Rollout, Seen, Stored, VersionTags, Wanted

RETIRED = 1000  # versions of which the catalog remembers what the registry is still to be told
_UNKNOWN = Wanted()
_NOTHING = VersionTags()


class Scene(msgspec.Struct, frozen=True):
    """What all plans of one step are made of. `base`: the newest generation there is; `now` in Unix seconds."""

    sightings: Sightings
    stored: Stored
    seen: dict[str, Seen]
    base: int
    now: float


class Planner:
    """`watching` is when this operator began to look (Unix seconds)."""

    def __init__(self, carrier: Carrier, limits: Limits, watching: float) -> None:
        self.limits = limits
        self.rests: dict[str, resting.Rest] = {}
        self._carrier = carrier
        self._watching = watching
        self._features: dict[str, frozenset[str]] = {}  # by address
        self._waits: dict[str, fitting.Wait] = {}  # what the catalog has no room for
        self._room = 0  # bytes

    def forget(self, served: str) -> None:
        self.rests.pop(served, None)
        self._waits.pop(served, None)

    def plans(self, rollouts: Mapping[str, Rollout], scene: Scene) -> dict[str, Plan]:
        catalog = scene.stored.catalog
        self._features = skew.features(scene.seen, self._features)
        self._room = self._carrier.room() - fitting.to_come(catalog.models) if self._waits else 0
        shared = resting.common(self.limits, catalog.generation, scene.seen)
        names = sorted({*catalog.models, *rollouts, *scene.sightings.claims})
        plans: dict[str, Plan] = {}
        for served in names:
            self._decide(plans, served, rollouts, scene, shared)
        for served in self._too_large(plans, rollouts, scene):
            del plans[served]
            self._decide(plans, served, rollouts, scene, shared, fitting.why(self._carrier.largest))
        return plans

    def _decide(
        self, plans: dict[str, Plan], served: str, rollouts: Mapping[str, Rollout], scene: Scene,
        shared: resting.Common, full: str = "",
    ) -> None:  # fmt: skip
        remembered = _remembered(served, rollouts.get(served), scene.stored.catalog.models.get(served))
        spec, known = _spec(served, remembered, scene.sightings)
        if not known:
            return
        old = remembered or Rollout(served, spec.model if spec else served)
        observed = self._observed(served, spec, scene, full)
        rest = self.rests.get(served)
        if rest is not None and resting.goes_on(rest, spec, old, observed, shared, scene.now):
            return
        try:
            plans[served] = self._plan(spec, old, observed, shared, scene.now)
        except Exception as error:  # one model's fault must not stop the others
            log.warning("plan failed", served=served, why=repr(error))

    def _observed(self, served: str, spec: Served | None, scene: Scene, full: str) -> Observed:
        wanted = scene.sightings.wanted.get(served, _UNKNOWN)
        wait = self._waits.get(served)
        if not full and wait is not None and wait.lasts(spec, wanted, self._room):
            full = fitting.why(self._carrier.largest)
        return Observed(
            entry=scene.stored.catalog.models.get(served),
            generation=scene.stored.catalog.generation,
            replicas=scene.seen,
            wanted=wanted,
            next_generation=scene.base + 1,
            watching=self._watching,
            full=full,
        )

    def _plan(self, spec: Served | None, old: Rollout, observed: Observed, shared: resting.Common, now: float) -> Plan:
        decided = _named(plan(spec, old, observed, now, self.limits), spec, observed.entry)
        rest = resting.rest(spec, old, observed, decided, shared)
        self.rests.pop(old.served, None)
        if rest is not None:
            self.rests[old.served] = rest
        return skew.writable(decided, observed.entry, old, self._features)

    # --- what fits

    def _too_large(self, plans: Mapping[str, Plan], rollouts: Mapping[str, Rollout], scene: Scene) -> frozenset[str]:
        """Those that must wait. Nothing is packed but where something grows."""
        if not self._carrier.largest or not plans:
            return frozenset()
        stored, claims = scene.stored.catalog.models, scene.sightings.claims
        entries = {served: decided.entry for served, decided in plans.items()}
        grown = fitting.growths(stored, entries, lambda name: claims[name].created if name in claims else 0)
        if not grown:
            return frozenset()
        wanted, untold = merged(stored, plans), retired(rollouts, plans, scene)

        def size(out: Collection[str]) -> int:
            models = fitting.without(wanted, stored, out)
            document = next_catalog(scene, models, untold, self._carrier.owner)
            return self._carrier.size(document) + fitting.to_come(models)

        out, taken = fitting.left_out(grown, size, self._carrier.largest)
        for growth in grown:
            self._waits.pop(growth.served, None)
        room = self._carrier.largest - taken
        for served in out:
            asked = scene.sightings.wanted.get(served, _UNKNOWN)
            self._waits[served] = fitting.Wait(plans[served].rollout.spec, asked, room)
        return out


def merged(stored: Mapping[str, ModelEntry], plans: Mapping[str, Plan]) -> dict[str, ModelEntry]:
    """The models as these plans want them."""
    models = dict(stored)
    for served, decided in plans.items():
        if decided.entry is None:
            models.pop(served, None)
        else:
            models[served] = decided.entry
    return models


def retired(rollouts: Mapping[str, Rollout], plans: Mapping[str, Plan], scene: Scene) -> dict[str, Retired]:
    """What the registry is still to be told of models that were left out, once these plans are stored: the objects that
    could remember it are gone. Where a name is asked for again meanwhile, that stays until it is told."""
    found, room = {}, RETIRED
    for served, rollout in {**rollouts, **{name: decided.rollout for name, decided in plans.items()}}.items():
        before = scene.stored.catalog.retired.get(served)
        if rollout.phase is not Phase.RETIRED and (before is None or before.model != rollout.model):
            continue
        tags = _untold(rollout)
        room -= len(tags)
        if tags and room >= 0:
            found[served] = Retired(rollout.model, tags)
    return found


def _untold(rollout: Rollout) -> dict[str, dict[str, str]]:
    found = {}
    for version, wanted in rollout.tags.items():
        written = rollout.written.get(version, _NOTHING)
        if wanted.status.startswith(OVER) and wanted != written:
            digest = {"digest": wanted.digest} if wanted.digest != written.digest else {}
            found[version] = {"status": wanted.status, **digest}
    return found


def recalled(served: str, known: Retired, entry: ModelEntry | None, now: float) -> Rollout:
    """The memory of a model that was left out, as far as the registry is still to be told of it. With an entry it is
    there again, and nothing else is remembered of it."""
    tags = msgspec.convert(known.tags, dict[str, VersionTags])
    blank = Rollout(served, known.model, tags=tags)
    return blank if entry is not None else msgspec.structs.replace(blank, phase=Phase.RETIRED, since=now)


def next_catalog(scene: Scene, models: dict[str, ModelEntry], untold: dict[str, Retired], owner: str) -> Catalog:
    stored = scene.stored.catalog
    return Catalog(stored.apiVersion, scene.base + 1, models, owner, skew.requires(models, stored), untold)


def _remembered(served: str, rollout: Rollout | None, entry: ModelEntry | None) -> Rollout | None:
    """What is known of a name. Whose model has it is the stored catalog's knowledge, where that says so: the memory
    goes with an object that is deleted, and another model's object may have come since."""
    if entry is not None and entry.model and (rollout is None or rollout.model != entry.model):
        return Rollout(served, entry.model)
    return rollout


def _named(decided: Plan, spec: Served | None, stored: ModelEntry | None) -> Plan:
    """The plan with the model's name in the entry. One that was stored without gets it when it takes more anyway: what
    grows is weighed, and with thousands of them a name each might be too much at once."""
    if spec is None or decided.entry is None or not fitting.grows(stored, decided.entry):
        return decided
    return msgspec.structs.replace(decided, entry=msgspec.structs.replace(decided.entry, model=spec.model))


def _spec(served: str, rollout: Rollout | None, sightings: Sightings) -> tuple[Served | None, bool]:
    """(what is asked for, whether that is known at all). None and known: nobody asks any more."""
    if served in sightings.removed:
        return None, True
    claim = sightings.claims.get(served)
    if rollout is not None and rollout.phase is Phase.RETIRED and claim is None:
        return None, True
    if rollout is not None and claim is not None and rollout.model != claim.model:
        return None, True  # the name goes to another model: what it served is left out first
    spec = claim or (rollout.spec if rollout else None)
    return spec, spec is not None
