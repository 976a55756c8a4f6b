"""A registry, replicas and an operator on fakes, walked by hand: one look, one step, one tick at a time."""

from __future__ import annotations

import asyncio

import msgspec

from fairlead_operator.documents import ModelEntry, read_catalog
from fairlead_operator.plan import Limits
from fairlead_operator.reconcile import Reconciler
from fairlead_operator.report import Line
from fairlead_operator.sharing import Board
from fairlead_operator.sightings import Sightings, chooser, claims_of_tags, look
from fairlead_operator.spec import Served, Tags
from fairlead_operator.state import RegistryUnavailable
from fairlead_operator.testing import (
    Artifact,
    FakeFleet,
    FakeRegistry,
    FakeReplica,
    Faults,
    MemoryCarrier,
    MemoryRecords,
    World,
)

KEYS = Tags()


class Site:
    """A registry, two replicas and an operator that can be started again."""

    def __init__(self, replicas: int = 2, hold_s: float = 50.0, limit_s: float = 100.0, pool: str = "default") -> None:
        self.pool = pool
        self.faults = Faults()
        self.world: World = {f"/m/{name}": Artifact(name) for name in ("1", "2", "3", "4")}
        self.registry = FakeRegistry(KEYS, self.faults)
        self.fleet = FakeFleet({f"http://r{i}": FakeReplica(self.world, f"r{i}") for i in range(replicas)}, self.faults)
        self.carrier = MemoryCarrier(faults=self.faults)
        self.records = MemoryRecords(self.faults)
        self.now = 1000.0
        self.verbs: dict[str, dict[str, str]] = {}  # by model, as its ServedModel's annotations would say
        self.approval: set[str] = set()  # models whose ServedModel requires it
        self.limits = Limits(hold_s, limit_s)
        self.start()

    def start(self) -> None:
        self.operator = Reconciler(self.fleet, self.carrier, self.records, self.limits, self.now)
        self.sightings = Sightings(self.operator.claims())
        self.board = Board()

    def look(self) -> None:
        holders = self.operator.holders()
        snapshot = self.registry.snapshot(holders.values(), chooser(KEYS, "champion", ()))
        self.board.heard(snapshot)
        claims = claims_of_tags(snapshot, KEYS, "champion")
        claims = msgspec.structs.replace(claims, served=tuple(map(self._annotated, claims.served)))
        self.sightings = look(self.sightings, claims, snapshot, holders)

    def _annotated(self, claim: Served) -> Served:
        verbs, approval = self.verbs.get(claim.model, {}), claim.model in self.approval
        return msgspec.structs.replace(claim, pool=self.pool, verbs=dict(verbs), require_approval=approval)

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        asyncio.run(self.operator.step(self.sightings, self.now))

    def tell(self) -> None:
        for untold in self.board.untold(self.operator.said(self.pool)):
            self.registry.write_tag(untold.model, untold.version, untold.tag, untold.value)
            self.board.told(untold)
            for note in untold.notes:
                self.operator.told(note)

    def run(self, rounds: int = 20, seconds: float = 1.0) -> None:
        for _ in range(rounds):
            try:
                self.look()
                self.tell()
            except RegistryUnavailable:
                pass
            self.step(seconds)
            self.fleet.tick()

    def entry(self, model: str = "m") -> ModelEntry | None:
        catalog = read_catalog(self.carrier.data) if self.carrier.data else None
        return catalog.models.get(model) if catalog else None

    def routed(self, model: str = "m") -> str:
        entry = self.entry(model)
        return entry.routed if entry else ""

    def line(self, served: str = "m") -> Line:
        return next(line for line in self.operator.lines() if line.served == served)

    def status_tag(self, version: str, model: str = "m") -> str:
        return self.registry.tag(model, version, "status")
