"""Fakes on the operator's seams: a registry, replicas that load what they are told, a carrier and records in memory.

    World (artifacts by source) --> FakeReplica (one step of a version's life each tick) --> FakeFleet
    FakeRegistry (models, aliases, tags), MemoryCarrier, MemoryRecords

Every call of a seam passes `Faults.point`, where a test can let the operator die: before or after what it does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import zlib
from collections.abc import Callable, Collection

from fairlead_operator.documents import (
    STATUS_VERSION,
    Catalog,
    ModelEntry,
    ModelStatus,
    Profile,
    ReplicaStatus,
    Signature,
    Smoke,
    TensorSpec,
    VersionStatus,
    empty_catalog,
    encode,
    read_catalog,
)
from fairlead_operator.spec import Tags
from fairlead_operator.state import (
    Answer,
    CatalogConflict,
    RegisteredModel,
    RegistryUnavailable,
    Rollout,
    Seen,
    Snapshot,
    Stored,
    Target,
)


class Crash(BaseException):
    """The operator is gone: no handler of its own may notice."""


class Faults:
    """Raises Crash at the n-th point from now."""

    def __init__(self) -> None:
        self._left = -1

    def crash_after(self, points: int) -> None:
        self._left = points

    def calm(self) -> None:
        self._left = -1

    def point(self) -> None:
        if self._left == 0:
            self._left = -1
            raise Crash
        self._left -= self._left > 0


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def signature(*inputs: str, outputs: tuple[str, ...] = ("output",)) -> Signature:
    """Every tensor is FP32 of shape [-1, 4]."""
    return Signature(
        tuple(TensorSpec(name, "FP32", (-1, 4)) for name in inputs),
        tuple(TensorSpec(name, "FP32", (-1, 4)) for name in outputs),
    )


@dataclasses.dataclass
class Artifact:
    """What lies at a source. `broken` is why it fails to load, finally; `content` is what the digest is made of."""

    content: str
    signature: Signature = dataclasses.field(default_factory=lambda: signature("input"))
    broken: str = ""
    smoke: Smoke = dataclasses.field(default_factory=lambda: Smoke("example", True))


World = dict[str, Artifact]

LIFE = ("wanted", "fetching", "trying", "loading", "warming", "ready")


class FakeReplica:
    """One replica: stores what is PUT, and brings every wanted version one step further with each tick.

    Its route follows the catalog once all that it routes to is ready; until then the last one stays."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.reachable = True
        self.features: tuple[str, ...] = ()
        self.stored: bytes | None = None
        self.catalog: Catalog = empty_catalog("")
        self.boots = itertools.count(1)
        self.boot = f"{name}-0"
        self.routes: dict[str, tuple[dict[str, float], int]] = {}
        self._progress: dict[tuple[str, str, str], int] = {}

    def put(self, data: bytes) -> Answer:
        catalog = read_catalog(data)
        if catalog.generation < self.catalog.generation:
            return Answer(conflict=True, why="older than the stored one")
        if catalog.generation == self.catalog.generation and data != self.stored:
            return Answer(conflict=True, why="the same generation with other bytes")
        self.stored, self.catalog = data, catalog
        self._settle()
        return Answer(stored=True)

    def restart(self) -> None:
        """It starts from what it had stored, with nothing loaded."""
        self.boot = f"{self.name}-{next(self.boots)}"
        self.routes = {}
        self._progress = {}

    def tick(self) -> None:
        for name, model in self.catalog.models.items():
            for version in model.versions:
                key = self._key(name, version)
                self._progress[key] = min(self._progress.get(key, 0) + 1, len(LIFE) - 1)
        self._settle()

    def ready(self, model: str, version: str) -> bool:
        entry = self.catalog.models.get(model)
        return bool(entry and version in entry.versions and self._version(model, version).state == "ready")

    def status(self) -> ReplicaStatus:
        models = {name: self._model(name, entry) for name, entry in self.catalog.models.items()}
        return ReplicaStatus(
            STATUS_VERSION, self.name, self.boot, self.catalog.generation, 0, True, False, models, self.catalog.owner,
            self.features,
        )  # fmt: skip

    def _settle(self) -> None:
        for name in [name for name in self.routes if name not in self.catalog.models]:
            del self.routes[name]
        for name, entry in self.catalog.models.items():
            routed = {v: weight for v, weight in entry.route.weights.items() if weight > 0}
            if all(self.ready(name, version) for version in routed):
                self.routes[name] = (routed, self.catalog.generation)

    def _key(self, model: str, version: str) -> tuple[str, str, str]:
        entry = self.catalog.models[model].versions[version]
        return (model, version, f"{entry.source} {sorted(entry.settings.items())}")

    def _model(self, name: str, entry: ModelEntry) -> ModelStatus:
        route, applied = self.routes.get(name, ({}, 0))
        return ModelStatus(applied, {version: self._version(name, version) for version in entry.versions}, route)

    def _version(self, model: str, version: str) -> VersionStatus:
        entry = self.catalog.models[model].versions[version]
        step = self._progress.get(self._key(model, version), 0)
        artifact = self.world.get(entry.source)
        if artifact is None:
            reason = f"{entry.source} does not exist"
            return VersionStatus("failed" if step else "wanted", 0.0, reason if step else "", bool(step))
        digest = digest_of(artifact.content) if step >= LIFE.index("trying") else ""
        if digest and entry.digest and digest != entry.digest:
            return VersionStatus("failed", 0.0, "the files changed after they were pinned", True, digest)
        if artifact.broken and step >= LIFE.index("loading"):
            return VersionStatus("failed", 0.0, artifact.broken, True, digest)
        done = LIFE[step] == "ready"
        profile = Profile(smoke=artifact.smoke) if done else None
        return VersionStatus(LIFE[step], 0.0, "", False, digest, artifact.signature if done else None, profile)


class FakeFleet:
    """Replicas by address. `on_put` sees every catalog before any replica does."""

    def __init__(self, replicas: dict[str, FakeReplica], faults: Faults | None = None) -> None:
        self.replicas = replicas
        self.faults = faults or Faults()
        self.on_put: Callable[[Catalog], None] = lambda catalog: None

    async def observe(self) -> dict[str, Seen]:
        self.faults.point()
        return {a: r.status() if r.reachable else "nothing listens there" for a, r in self.replicas.items()}

    async def put(self, base: str, data: bytes) -> Answer:
        self.faults.point()
        replica = self.replicas[base]
        self.on_put(read_catalog(data))
        if not replica.reachable:
            return Answer(why="nothing listens there")
        answer = replica.put(data)
        self.faults.point()
        return answer

    async def catalog(self, base: str) -> bytes | None:
        self.faults.point()
        return self.replicas[base].stored if self.replicas[base].reachable else None

    def tick(self) -> None:
        for replica in self.replicas.values():
            replica.tick()


@dataclasses.dataclass
class FakeVersion:
    source: str
    tags: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FakeModel:
    created: int
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, FakeVersion] = dataclasses.field(default_factory=dict)


class FakeRegistry:
    """`down` is what every call fails with, "" while it answers. `denied`: models that the operator may not read.
    `writes` counts the tags that were set."""

    def __init__(self, keys: Tags | None = None, faults: Faults | None = None) -> None:
        self.keys = keys or Tags()
        self.faults = faults or Faults()
        self.models: dict[str, FakeModel] = {}
        self.down = ""
        self.denied: set[str] = set()
        self.writes: list[tuple[str, str, str, str]] = []

    def register(self, model: str, *sources: str, serve: bool = True) -> FakeModel:
        """The model with one more version for each source."""
        found = self.models.setdefault(model, FakeModel(len(self.models)))
        if serve:
            found.tags["fairlead.serve"] = "true"
        for source in sources:
            found.versions[str(len(found.versions) + 1)] = FakeVersion(source)
        return found

    def promote(self, model: str, version: str, alias: str = "champion") -> None:
        self.models[model].aliases[alias] = version

    def open(self) -> None:
        pass

    def snapshot(self, names: Collection[str], choose: Callable[[RegisteredModel], Collection[str]]) -> Snapshot:
        self._answer()
        found = {
            name: RegisteredModel(name, model.created, dict(model.tags), dict(model.aliases))
            for name, model in self.models.items()
            if name not in self.denied and (self.keys.asks(model.tags) or name in names)
        }
        versions = {name: {v: self._target(name, v) for v in choose(model)} for name, model in found.items()}
        denied = tuple(sorted(self.denied & set(names)))
        return Snapshot(found, tuple(sorted(set(names) - set(found) - self.denied)), versions, denied)

    def write_tag(self, model: str, version: str, name: str, value: str) -> None:
        self._answer()
        if model in self.models and version in self.models[model].versions:
            self.models[model].versions[version].tags[self.keys.key(name)] = value
            self.writes.append((model, version, name, value))
        self.faults.point()

    def tag(self, model: str, version: str, name: str) -> str:
        return self.models[model].versions[version].tags.get(self.keys.key(name), "")

    def _answer(self) -> None:
        self.faults.point()
        if self.down:
            raise RegistryUnavailable(self.down)

    def _target(self, model: str, version: str) -> Target | None:
        found = self.models[model].versions.get(version)
        if found is None:
            return None
        return Target(
            version,
            found.source,
            status=self.tag(model, version, "status"),
            digest=self.tag(model, version, "digest"),
            allow_signature_change=self.keys.get(found.tags, "allow_signature_change") == "true",
            settings=self.keys.settings(found.tags),
        )


class MemoryCarrier:
    """The stored catalog, surviving the operator that wrote it."""

    def __init__(self, owner: str = "default", faults: Faults | None = None) -> None:
        self.owner = owner
        self.faults = faults or Faults()
        self.data: bytes | None = None
        self.largest = 0  # a test may set it
        self.packed = 0  # how often something was measured
        self.on_write: Callable[[Catalog, Catalog], None] = lambda old, new: None

    async def read(self) -> Stored:
        self.faults.point()
        return Stored(self.data, read_catalog(self.data) if self.data else empty_catalog(self.owner))

    def ours(self, catalog: Catalog) -> bool:
        return catalog.owner == self.owner or (not catalog.owner and not catalog.models)

    def room(self) -> int:
        return self.largest - (len(zlib.compress(self.data)) if self.data else 0)

    def size(self, catalog: Catalog) -> int:
        self.packed += 1
        return len(zlib.compress(encode(catalog)))

    async def write(self, catalog: Catalog, expected: Stored) -> Stored:
        return await self.store(encode(catalog), catalog, expected)

    async def store(self, data: bytes, catalog: Catalog, expected: Stored) -> Stored:
        self.faults.point()
        if self.largest and len(zlib.compress(data)) > self.largest + 256:
            raise CatalogConflict("too large, though nothing in it grows")
        if self.data != expected.data:
            raise CatalogConflict("changed by somebody else")
        self.on_write(expected.catalog, catalog)
        self.data = data
        self.faults.point()
        return Stored(data, catalog)


class MemoryRecords:
    """The rollouts' memory, surviving the operator that wrote it, unless a test loses it."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.rollouts: dict[str, Rollout] = {}

    def load(self) -> dict[str, Rollout]:
        return dict(self.rollouts)

    def save(self, rollout: Rollout) -> None:
        self.faults.point()
        self.rollouts[rollout.served] = rollout
        self.faults.point()

    def delete(self, served: str) -> None:
        self.faults.point()
        self.rollouts.pop(served, None)
