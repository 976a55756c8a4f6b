"""Two releases side by side: operator and replicas of the release before, with today's, under load.

The release before is real code, out of the history (harness/releases.py). Each test has a pool and an operator of its
own, and promotes models of its own.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.loads import Load, Report, plan
from harness.parts import Part, Replica, free_block, until
from harness.registry import Registry
from harness.releases import TODAY, Release, release_before

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("one machine")]

KINDS = ["http", "http-new", "grpc"]
LIMIT_S = 90.0
RATE = 10.0  # a second, of each kind
OPERATOR, FIRST, SECOND = "operator", "replica-0", "replica-1"


class Site:
    """A pool of two replicas and its operator. Each of the three may be started anew from either release, where the one
    before left: on the same ports, with the same state."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        base = free_block(8)
        self.folder = folder
        self.registry = registry
        self.catalog = folder / "catalog.json"
        self.replicas = {FIRST: Replica(base), SECOND: Replica(base + 4)}
        self.parts: dict[str, Part] = {}

    def start(self, release: Release, *names: str, ready: bool = True) -> None:
        for name in names:
            if name in self.parts:
                assert self.parts[name].stop() == 0, self.parts[name].text()[-2000:]
            self.parts[name] = self._started(release, name)
        for name in names:
            pids = [self.parts[name].pid]
            if name in self.replicas:
                until(f"{name} to be up", lambda name=name: self._up(name, ready), LIMIT_S, every_s=0.3)
                pids += [worker["pid"] for worker in self.replicas[name].workers()]
            assert all(release.runs(pid) for pid in pids)

    def _started(self, release: Release, name: str) -> Part:
        if name in self.replicas:
            return release.serve(self.replicas[name], self.folder / name, self.catalog)
        pool = list(self.replicas.values())
        return release.operate(pool, self.folder / name, self.catalog, self.registry.uri, "--hold", "1")

    def _up(self, name: str, ready: bool) -> bool:
        self.look()
        replica = self.replicas[name]
        return replica.ready() if ready and self.catalog.exists() else bool(replica.status()["workers"])

    def forget(self, name: str) -> None:
        """What it has kept, as with a pod that comes anew."""
        assert self.parts.pop(name).stop() == 0
        shutil.rmtree(self.folder / name)

    def look(self) -> None:
        """None of the parts has ended by itself."""
        for part in self.parts.values():
            assert part.alive(), part.text()[-2000:]

    def promote(self, model: str, version: str) -> float:
        self.registry.promote(model, version)
        return self.serves(model, version)

    def serves(self, model: str, version: str) -> float:
        """Seconds until the operator says that it does; every replica sends all requests there then."""
        start = time.monotonic()

        def told() -> bool:
            self.look()
            line = self.rollout(model)
            return (line.get("stable"), line.get("candidate")) == (version, "")

        until(f"{model} {version} to serve", told, LIMIT_S)
        assert self.routes(model) == [{version}, {version}]
        return time.monotonic() - start

    def routes(self, model: str) -> list[set[str]]:
        """The versions that get requests, in each replica."""
        told = [replica.status()["models"][model].get("route", {}) for replica in self.replicas.values()]
        return [{version for version, weight in route.items() if weight > 0} for route in told]

    def load(self, model: str, versions: dict[str, Any]) -> Load:
        return Load(self.folder, plan(list(self.replicas.values()), model, versions, KINDS, rate=RATE))

    def rollout(self, model: str) -> dict[str, Any]:
        """How the operator reports it; {} before it does."""
        file = self.folder / OPERATOR / "rollouts.json"
        lines = json.loads(file.read_text())["rollouts"] if file.exists() else []
        return next((line for line in lines if line["served"] == model), {})

    def give_sticky_key(self, model: str) -> None:
        """As a person does it who writes the stored catalog by hand: the next generation."""
        document = self.document()
        document["generation"] += 1
        document["models"][model]["route"]["sticky"] = {"header": "x-user"}
        written = self.folder / "by-hand.json"
        written.write_text(json.dumps(document))
        written.replace(self.catalog)
        generation = document["generation"]
        until("it to be taken", lambda: all(r.status()["generation"] >= generation for r in self.replicas.values()))

    def document(self) -> dict[str, Any]:
        """The stored catalog."""
        found: dict[str, Any] = json.loads(self.catalog.read_text())
        return found

    def close(self) -> None:
        for part in self.parts.values():
            if part.alive():
                part.kill()


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Iterator[Site]:
    made = Site(tmp_path, registry)
    try:
        yield made
    finally:
        made.close()


def kept(report: Report, *versions: str) -> None:
    """Every request was answered, rightly, and each of these versions had its share."""
    assert report.lost() == []
    assert report.wrong() == []
    assert set(report.versions()) == set(versions)


# One after the other, all mixes that there are on the way with the operator first and with the pool first: the third
# step takes the operator back.
STEPS = [(OPERATOR, True), (FIRST, True), (OPERATOR, False), (SECOND, True)]


def test_every_mix_of_two_releases_promotes(
    site: Site, registry: Registry, tmp_path: Path, record_property: Any
) -> None:
    """Whichever is upgraded first: a promotion after each step completes, and of all requests none is lost."""
    before = release_before(tmp_path)
    versions = registry.register("upgraded", *(f"linear-{seed}" for seed in range(1, len(STEPS) + 2)))
    site.start(before, FIRST, SECOND, OPERATOR)
    site.promote("upgraded", "1")
    with site.load("upgraded", versions) as load:
        for number, (name, newer) in enumerate(STEPS, 2):
            site.start(TODAY if newer else before, name)
            seconds = site.promote("upgraded", str(number))
            record_property(f"promoted_s_{'with' if newer else 'back to'}_{name}", round(seconds, 2))
        site.start(before, FIRST)  # back, on what today's has kept
        back = time.time()
        time.sleep(1)
        report = load.finish()
    kept(report, *versions)
    assert site.routes("upgraded") == [{"5"}, {"5"}]
    assert {record["version"] for record in report.records if record["due"] > back} == {"5"}
    record_property("longest_s", f"{report.longest_s():.3f} of {len(report.records)} requests")


def test_what_the_oldest_does_not_know_waits_for_its_upgrade(
    site: Site, registry: Registry, tmp_path: Path, record_property: Any
) -> None:
    """A route with a sticky key waits, with the reason, while another model is promoted in the same pool; once the old
    replica is replaced it goes on, and an old one that comes then takes nothing of that catalog and is not ready."""
    before = release_before(tmp_path, without=("sticky", "match"))
    registry.register("keyed", "linear-1", "linear-2")
    versions = registry.register("plain", "linear-3", "linear-4")
    site.start(before, FIRST)
    site.start(TODAY, SECOND, OPERATOR)
    assert site.replicas[FIRST].status()["features"] == ["aliases", "weights"]
    registry.promote("keyed", "1")
    site.promote("plain", "1")
    site.serves("keyed", "1")
    site.give_sticky_key("keyed")
    with site.load("plain", versions) as load:
        registry.promote("keyed", "2")
        site.promote("plain", "2")
        reason = until("the reason", lambda: site.rollout("keyed")["conditions"].get("TooNew"))
        assert reason.startswith("it needs sticky, which not every replica knows: upgrade the pool first")
        assert site.replicas[FIRST].control in reason
        assert site.routes("keyed") == [{"1"}, {"1"}]
        assert "requires" not in site.document()
        site.start(TODAY, FIRST)
        record_property("waiting_model_served_s", round(site.serves("keyed", "2"), 2))
        report = load.finish()
    kept(report, "1", "2")
    assert site.document()["requires"] == ["sticky"]
    assert "TooNew" not in site.rollout("keyed")["conditions"]
    site.forget(FIRST)
    site.start(before, FIRST, ready=False)
    told = until("it to refuse", lambda: site.replicas[FIRST].status()["conditions"].get("CatalogFile"), LIMIT_S)
    assert "does not know sticky: upgrade it first" in told
    assert [replica.ready() for replica in site.replicas.values()] == [False, True]
