"""A rule machine over plan and apply: the operator dies between any two steps, forgets, and ends the same."""

from __future__ import annotations

import contextlib
import zlib

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from operator_site import Site

from fairlead_operator import resting
from fairlead_operator.documents import Catalog, ModelEntry, encode, read_catalog
from fairlead_operator.plan import Limits, plan
from fairlead_operator.report import RegistrySight
from fairlead_operator.resource import Status
from fairlead_operator.sharing import OVER
from fairlead_operator.spec import VERBS, Served
from fairlead_operator.state import Observed, Phase, Plan, RegistryUnavailable, Rollout, Wanted
from fairlead_operator.status import memory, status
from fairlead_operator.testing import Artifact, Crash, FakeVersion, MemoryRecords, digest_of, signature

MODELS = ("m", "n")
VERSIONS = ("1", "2", "3", "4")
OTHER, BROKEN = "3", "4"  # version 3 has another signature, version 4 never loads
REPLICAS = ("http://r0", "http://r1")

models = st.sampled_from(MODELS)
versions = st.sampled_from(VERSIONS)
replicas = st.sampled_from(REPLICAS)


class StatusRecords(MemoryRecords):
    """Keeps only what the status of a ServedModel remembers: nothing where the object is gone."""

    def save(self, rollout: Rollout) -> None:
        written = msgspec.json.encode(memory(rollout))
        super().save(msgspec.json.decode(written, type=Rollout))
        if rollout.spec is None:
            del self.rollouts[rollout.served]


class Operating(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.site = site = Site(hold_s=20.0, limit_s=1e9)
        site.records = StatusRecords(site.faults)
        site.start()
        for model in MODELS:
            for version in VERSIONS:
                other = signature("other") if version == OTHER else signature("input")
                broken = "it is cut short" if version == BROKEN else ""
                site.world[f"/{model}/{version}"] = Artifact(f"{model}{version}", other, broken)
            site.registry.register(model, *(f"/{model}/{version}" for version in VERSIONS), serve=False)
        self.once_routed: dict[str, set[str]] = {model: set() for model in MODELS}
        self.let_through: set[str] = set()  # digests that a person approved or promoted at some time
        self.frozen = ""
        self.forgot = False
        self.rests: dict[str, resting.Rest | None] = {}
        site.carrier.on_write = self.written
        site.fleet.on_put = self.put

    # --- what must hold whenever something is written

    def written(self, old: Catalog, new: Catalog) -> None:
        assert new.generation > old.generation
        assert not self.frozen or new.models == old.models
        for name in MODELS:
            before, after = old.models.get(name), new.models.get(name)
            if before and before.routed and self.asked(name):
                assert after, "a model that is asked for was left out"
                assert after.routed, "the route was taken away"
                assert before.routed in after.versions, "the routed version was left out with the switch"
            if after and after.routed:
                self.may_route(name, after.routed, after.versions[after.routed].digest, before and before.routed)
                self.must_be_approved(name, after.routed, before)

    def may_route(self, name: str, version: str, digest: str | None, before: str | None) -> None:
        assert digest is not None, "routed before it was pinned"
        assert version != BROKEN
        if version == before:
            return
        for replica in self.site.fleet.replicas.values():
            going_back = version in self.once_routed[name] and not replica.reachable
            assert going_back or replica.ready(name, version), "routed before it was ready everywhere"
        if before and version not in self.once_routed[name]:
            assert (version == OTHER) == (before == OTHER), "routed past the signature's gate"
        self.once_routed[name].add(version)

    def must_be_approved(self, name: str, version: str, before: ModelEntry | None) -> None:
        """What moves the route is approved, or was when it came."""
        if before is not None and (
            version == before.routed or version in before.versions.keys() & self.once_routed[name]
        ):
            return
        claim = self.site.sightings.claims[name]
        digest = digest_of(name + version)
        assert digest in self.let_through or (not claim.require_approval and claim.verbs.get("pause") != digest)

    def put(self, catalog: Catalog) -> None:
        assert encode(catalog) == self.site.carrier.data, "PUT and not stored"

    def asked(self, name: str) -> bool:
        """Whether the tag is there, or was a moment ago in the operator's eyes."""
        return name not in self.site.sightings.removed

    # --- what people do

    @rule(model=models, version=versions)
    def promote(self, model: str, version: str) -> None:
        self.site.registry.models[model].tags["fairlead.serve"] = "true"
        self.site.registry.promote(model, version)

    @rule(model=models)
    def stop_serving(self, model: str) -> None:
        self.site.registry.models[model].tags.pop("fairlead.serve", None)

    @rule(model=models)
    def drop_alias(self, model: str) -> None:
        self.site.registry.models[model].aliases.clear()

    @rule(model=models, verb=st.sampled_from(VERBS), version=versions)
    def annotate(self, model: str, verb: str, version: str) -> None:
        digest = digest_of(model + version)
        self.site.verbs.setdefault(model, {})[verb] = digest
        if verb in ("approve", "promote"):
            self.let_through.add(digest)

    @rule(model=models)
    def take_annotations_away(self, model: str) -> None:
        self.site.verbs.pop(model, None)

    @rule(model=models, required=st.booleans())
    def approval(self, model: str, required: bool) -> None:
        (self.site.approval.add if required else self.site.approval.discard)(model)

    @rule(frozen=st.sampled_from(["", "", "an incident"]))
    def freeze(self, frozen: str) -> None:
        self.frozen = frozen
        self.site.operator.freeze(frozen)

    @rule(model=models, version=versions, other=versions)
    def promote_approve_and_go_back(self, model: str, version: str, other: str) -> None:
        """A whole story, so that verbs meet what they name."""
        self.promote_and_run_on(model, other, 10)
        self.promote_and_run_on(model, version, 8)
        self.annotate(model, "approve", version)
        self.site.run(4)
        self.annotate(model, "rollback", version)
        self.site.run(1)

    @rule(model=models, version=versions, points=st.integers(0, 30))
    def serve_remove_and_die(self, model: str, version: str, points: int) -> None:
        """The memory goes with the object, and the operator about when the registry is to be told."""
        self.promote_and_run_on(model, version, 10)
        self.stop_serving(model)
        self.site.run(2)
        self.crash(points, False)

    # --- what happens to the parts

    @rule(full=st.booleans())
    def room(self, full: bool) -> None:
        """The catalog has room for a few more versions, or for any number."""
        self.site.carrier.largest = len(zlib.compress(self.site.carrier.data or b"")) + 300 if full else 10**6

    @rule(down=st.booleans())
    def registry(self, down: bool) -> None:
        self.site.registry.down = "503" if down else ""

    @rule(replica=replicas)
    def restart_replica(self, replica: str) -> None:
        self.site.fleet.replicas[replica].restart()

    @rule(replica=replicas, reachable=st.booleans())
    def network(self, replica: str, reachable: bool) -> None:
        self.site.fleet.replicas[replica].reachable = reachable

    @rule(replica=replicas)
    def replica_goes_on(self, replica: str) -> None:
        self.site.fleet.replicas[replica].tick()

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.site.now += seconds

    # --- what the operator does, and what is done to it

    @rule()
    def look(self) -> None:
        try:
            self.site.look()
        except RegistryUnavailable:
            assert self.site.registry.down

    @rule()
    def step(self) -> None:
        self.site.step()

    @precondition(lambda self: not self.site.registry.down)
    @rule()
    def tell(self) -> None:
        self.site.tell()

    @rule(rounds=st.integers(1, 8))
    def run_on(self, rounds: int) -> None:
        self.site.run(rounds)

    @rule(model=models, version=versions, rounds=st.integers(1, 12))
    def promote_and_run_on(self, model: str, version: str, rounds: int) -> None:
        self.promote(model, version)
        self.site.run(rounds)

    @rule(points=st.integers(0, 60), forget=st.booleans())
    def crash(self, points: int, forget: bool) -> None:
        """The operator dies somewhere within the next steps, and another one starts."""
        self.site.faults.crash_after(points)
        with contextlib.suppress(Crash):
            self.site.run(6)
        self.site.faults.calm()
        if forget:
            self.forgot = True
            self.site.records.rollouts.clear()
        self.site.start()
        self.site.operator.freeze(self.frozen)

    @invariant()
    def replicas_keep_what_they_route(self) -> None:
        """No replica is told to unload what it still sends requests to."""
        for replica in self.site.fleet.replicas.values():
            for name, (routed, _) in replica.routes.items():
                entry = replica.catalog.models.get(name)
                assert entry is not None
                assert all(replica.ready(name, version) for version in routed)

    @invariant()
    def plan_is_pure(self) -> None:
        """The same inputs give the same plan, and are not touched; and of what rests the plan changes nothing."""
        site = self.site
        catalog = read_catalog(site.carrier.data) if site.carrier.data else None
        seen = {address: replica.status() for address, replica in site.fleet.replicas.items()}
        rollouts = {outlook.rollout.served: outlook.rollout for outlook in site.operator.outlooks()}
        for served, claim in site.sightings.claims.items():
            entry = catalog.models.get(served) if catalog else None
            generation = catalog.generation if catalog else 0
            observed = Observed(
                entry, generation, seen, site.sightings.wanted.get(served, Wanted()), generation + 1, 0.0
            )
            rollout = rollouts.get(served, Rollout(served, claim.model))
            inputs = (claim, rollout, observed)
            before = msgspec.json.encode(inputs)
            limits = msgspec.structs.replace(site.limits, frozen=self.frozen)
            plans = [plan(*inputs, site.now, limits) for _ in range(2)]
            assert plans[0] == plans[1]
            assert msgspec.json.encode(inputs) == before
            self.rests_truly(claim, rollout, observed, plans[0], limits)

    @invariant()
    def status_tells_the_truth(self) -> None:
        """Ready means that what is asked for has the traffic; and what is written can be read back."""
        sight = RegistrySight(None, 0.0, self.site.registry.down)
        for outlook in self.site.operator.outlooks():
            found = status(outlook, sight, 1, self.site.now, None)
            assert msgspec.convert(msgspec.to_builtins(found), Status) == found
            ready = next(one for one in found.conditions if one.type == "Ready")
            if ready.status == "True":
                target = outlook.rollout.target
                assert outlook.entry is not None
                assert target is not None
                assert outlook.entry.routed == outlook.rollout.stable == target.version
                assert found.weights == {target.version: 100.0}

    def rests_truly(self, claim: Served, rollout: Rollout, observed: Observed, decided: Plan, limits: Limits) -> None:
        shared = resting.common(limits, observed.generation, observed.replicas)
        old = self.rests.get(rollout.served)
        if old is not None and resting.goes_on(old, claim, rollout, observed, shared, self.site.now):
            assert decided == Plan(observed.entry, rollout)
        else:
            rest = resting.rest(claim, rollout, observed, decided, shared)
            self.rests[rollout.served] = rest and msgspec.structs.replace(rest, rollout=rollout)

    # --- the end

    def teardown(self) -> None:
        """Left alone, it comes to rest where the registry asks; and the same place again after losing everything."""
        site = self.site
        site.registry.down = ""
        self.room(False)
        site.verbs.clear()
        site.approval.clear()
        self.freeze("")
        for replica in site.fleet.replicas.values():
            replica.reachable = True
        site.run(30, seconds=5.0)
        end = self.end()
        self.check_end()
        site.run(5)
        assert self.end() == end
        site.records.rollouts.clear()
        site.start()
        site.run(30, seconds=5.0)
        assert self.end() == end

    def end(self) -> object:
        catalog = read_catalog(self.site.carrier.data) if self.site.carrier.data else None
        tags = {name: {v: dict(f.tags) for v, f in m.versions.items()} for name, m in self.site.registry.models.items()}
        lines = [msgspec.structs.replace(line, since=0.0) for line in self.site.operator.lines()]
        return (catalog.models if catalog else {}, tags, lines)

    def told(self, version: FakeVersion) -> str:
        """The first word of its tag."""
        return version.tags.get("fairlead.status", "").replace(":", " ").partition(" ")[0]

    def check_end(self) -> None:
        site = self.site
        for name in MODELS:
            model = site.registry.models[name]
            entry, wanted = site.entry(name), model.aliases.get("champion")
            if "fairlead.serve" not in model.tags:
                assert entry is None
                assert self.forgot or {*map(self.told, model.versions.values())} <= {"", *OVER, "refused"}
                continue
            line = site.line(name)
            if wanted is None:
                assert "AliasGone" in line.conditions
                continue
            by_person = "a person" in line.reason
            other = entry is not None and (entry.routed == OTHER) != (wanted == OTHER)
            refused = wanted == BROKEN or by_person or other
            assert (line.phase == Phase.REFUSED) == refused, line
            assert site.status_tag(wanted, name).startswith("refused:" if refused else "serving")
            if not refused:
                assert entry is not None
                assert entry.routed == wanted
            for replica in site.fleet.replicas.values():
                if entry is not None:
                    assert replica.routes[name][0] == {entry.routed: 1.0}


TestOperating = Operating.TestCase
TestOperating.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
