"""One pool in a cluster: its claims from ServedModels, its Reconciler, and what its objects should be told.

    objects change  -> asked again at once, also while the registry is away (a deletion, a verb)
    registry        -> looked again
    every interval  -> one step; faster while a rollout moves

A step that fails tells the objects that it was for, and nothing else changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.cluster.carrier import CatalogTooLarge, ConfigMapCarrier
from fairlead_operator.cluster.objects import Objects, claims_of
from fairlead_operator.cluster.slices import SliceFleet
from fairlead_operator.config import Config
from fairlead_operator.fitting import TOO_LARGE
from fairlead_operator.plan import Limits
from fairlead_operator.reconcile import Reconciler
from fairlead_operator.sharing import Note, Said
from fairlead_operator.sightings import Claims, Sightings, ask, look
from fairlead_operator.state import CatalogConflict, Event, Outlook, Phase, Rollout, Snapshot

MOVING_S = 0.2  # between steps while a rollout moves
LASTING_S = 5.0  # a conflict that is over by then was two writers who met
SLOWEST_S = 30.0  # between steps that fail
NOT_YET = "it has not been looked at yet"
NOT_STORED = "CatalogNotStored"


class StatusRecords:
    """The rollouts' memory lies in the statuses, which the writer writes: here it is only read."""

    def __init__(self, objects: Objects, pool: str) -> None:
        self._objects = objects
        self._pool = pool

    def load(self) -> dict[str, Rollout]:
        """What cannot be read is as good as lost: it is rebuilt from the catalog."""
        found: dict[str, Rollout] = {}
        for one in self._objects.known.values():
            memory = one.status.get("memory")
            if not memory or one.status.get("pool") != self._pool:
                continue
            try:
                rollout = msgspec.convert(memory, Rollout)
            except msgspec.ValidationError as error:
                log.warning("memory lost", object=one.ref, why=f"{error}; it is rebuilt from the catalog")
                continue
            if rollout.phase is not Phase.CONFLICT and rollout.spec is not None and rollout.spec.ref == one.ref:
                found[rollout.served] = rollout
        return found

    def save(self, rollout: Rollout) -> None:
        pass

    def delete(self, served: str) -> None:
        pass


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing could be stored. `served`: the names that needed it; None: all."""

    condition: str
    why: str
    since: float
    served: frozenset[str] | None = None


class Pool:
    """`published` is called after every step."""

    def __init__(
        self, name: str, config: Config, server: api.Api, objects: Objects, fleet: SliceFleet,
        allowed: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.name = name
        self.fleet = fleet
        self._config = config
        self._objects = objects
        place = config.pools[name]
        self.carrier = ConfigMapCarrier(
            server, place.namespace, place.catalog, config.installation, config.takeover, allowed
        )
        limits = Limits(config.hold_seconds, config.progress_seconds)
        self._reconciler = Reconciler(fleet, self.carrier, StatusRecords(objects, name), limits, time.time())
        self._sightings = Sightings(self._reconciler.claims())
        self._claims: Claims | None = None
        self._claimed = (-1, False)  # what these claims were read from
        self._asked: tuple[Claims | None, dict[str, str]] = (None, {})  # what the sightings stand on
        self._wake = asyncio.Event()
        self._since = time.time()
        self.trouble: Trouble | None = None
        self.steps = 0
        self.stepped_at = time.monotonic()

    # --- who asks

    def claims(self) -> Claims:
        """The same value while nobody asks for anything else."""
        now = (self._objects.revision, self._objects.complete)
        if self._claims is None or now != self._claimed:
            self._claims = claims_of(self._objects.known, self.name, self._config, self._objects.complete)
            self._claimed = now
        return self._claims

    def holders(self) -> dict[str, str]:
        return self._reconciler.holders()

    def asked(self) -> None:
        """The ServedModels may have changed."""
        claims, holders = self.claims(), self.holders()
        if claims is not self._asked[0] or holders != self._asked[1]:
            self._sightings = ask(self._sightings, claims, holders)
            self._asked = (claims, holders)

    def heard(self, claims: Claims, snapshot: Snapshot, holders: dict[str, str]) -> None:
        """The registry has answered what these claims asked for; they may have changed since. An answer that is older
        than the first look at the stored catalog, which knows who has a name, judges nobody."""
        if not self._reconciler.begun:
            return
        self._sightings = look(self._sightings, claims, snapshot, holders)
        self._asked = (claims, holders)
        self.asked()
        self._wake.set()

    def said(self) -> list[Said]:
        return self._reconciler.said(self.name)

    def told(self, note: Note) -> None:
        self._reconciler.told(note)

    def woken(self) -> None:
        self._wake.set()

    # --- steps

    async def run(self, frozen: Callable[[], str], published: Callable[[Pool], None]) -> None:
        while True:
            self._reconciler.freeze(frozen())
            began = time.monotonic()
            try:
                await self._reconciler.begin()
                self.asked()
                self._wake.clear()
                await self._reconciler.step(self._sightings, time.time())
                self._well()
            except Exception as error:  # CatalogConflict, OSError; whatever else it is, the other pools go on
                self._ill(error)
            self.steps, self.stepped_at = self.steps + 1, time.monotonic()
            if self.trouble is None or time.time() - self.trouble.since >= LASTING_S:  # else nothing new is known
                published(self)
            await self._pause(self.stepped_at - began)

    async def _pause(self, took: float) -> None:
        """A step that took long is followed by as long a rest."""
        interval = self._config.registry.interval_seconds
        pause = max(took, MOVING_S if self._reconciler.moving() and self.trouble is None else interval)
        if self.trouble is not None:
            await asyncio.sleep(min(max(pause, (time.time() - self.trouble.since) / 4), SLOWEST_S))
        else:
            await api.pause(pause, self._wake)
            await asyncio.sleep(MOVING_S / 4)  # what comes together is one step

    def _well(self) -> None:
        if self.trouble is not None:
            log.info("stored again", pool=self.name, why=f"after {time.time() - self.trouble.since:.1f} s")
        self.trouble = None

    def _ill(self, error: Exception) -> None:
        large = isinstance(error, CatalogTooLarge)
        served = self._reconciler.unwritten() if large else None
        old = self.trouble
        why = str(error) if isinstance(error, CatalogConflict | OSError) else f"a step failed: {error!r}"
        new = Trouble(TOO_LARGE if large else NOT_STORED, why, old.since if old else time.time(), served)
        if old is None or old.why != new.why:  # once, and not at every step
            log.warning("nothing stored", pool=self.name, why=new.why)
        self.trouble = new

    # --- what became of it

    def happened(self) -> list[tuple[str, Event]]:
        return self._reconciler.happened()

    def outlooks(self, now: float) -> dict[str, Outlook]:
        """By ref: every object that this pool knows, with what kept the last step from being stored."""
        found = {
            outlook.ref: self._troubled(outlook, now)
            for outlook in self._reconciler.outlooks()
            if outlook.rollout.spec is not None
        }
        for claim in self.claims().served:
            if claim.ref not in found:
                blank = Rollout(claim.served, claim.model, claim, reason=NOT_YET, since=self._since)
                found[claim.ref] = self._troubled(
                    Outlook(blank, None, 0, len(self.fleet.addresses), "", claim.ref), now
                )
        return found

    def _troubled(self, outlook: Outlook, now: float) -> Outlook:
        trouble = self.trouble
        if trouble is None or (trouble.served is not None and outlook.rollout.served not in trouble.served):
            return outlook
        if trouble.condition == NOT_STORED and now - trouble.since < LASTING_S:
            return outlook
        conditions = {**outlook.rollout.conditions, trouble.condition: trouble.why}
        return msgspec.structs.replace(outlook, rollout=msgspec.structs.replace(outlook.rollout, conditions=conditions))

    def gauges(self) -> dict[str, Any]:
        return {
            "replicas": float(len(self.fleet.addresses)),
            "catalog_bytes": float(self.carrier.bytes),
            "steps_total": float(self.steps),
            "not_stored": float(self.trouble is not None),
        }
