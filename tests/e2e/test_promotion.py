"""Promotions and losses of parts under load, on a real Ray of two nodes with two workers on each.

The tests share one pool, one registry and one operator; each promotes a model of its own, so that
their order does not matter.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.loads import Load, plan
from harness.parts import Part, Replica, operator, ray_pool, start_operator, until
from harness.registry import Registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480), pytest.mark.xdist_group("ray pool")]

KEPT = ["http", "grpc"]
KINDS = ["http", "http-new", "grpc", "grpc-retry"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="module")
def catalog(folder: Path) -> Path:
    return folder / "catalog.json"


@pytest.fixture(scope="module")
def pool(folder: Path, catalog: Path) -> Iterator[list[Replica]]:
    with ray_pool(folder, catalog) as (serve, replicas):

        def answering() -> bool:
            assert serve.alive(), serve.text()[-3000:]
            return all(replica.status()["replica"] for replica in replicas)

        until("both replicas' control APIs", answering, 120)
        yield replicas


class Story:
    """One registered model in the shared pool, and the steps that the tests tell."""

    def __init__(self, registry: Registry, pool: list[Replica], model: str, *kinds: str) -> None:
        self.registry = registry
        self.pool = pool
        self.model = model
        self.versions = registry.register(model, *kinds)

    def routed(self, version: str) -> bool:
        """Whether all replicas send the model's traffic to `version`."""
        models = [replica.status()["models"].get(self.model, {}) for replica in self.pool]
        return all(model.get("route", {}).get(version, 0) > 0 and len(model["route"]) == 1 for model in models)

    def promote(self, version: str, limit_s: float = 60) -> float:
        """Moves the alias; the seconds until all replicas route to the version."""
        start = time.monotonic()
        self.registry.promote(self.model, version)
        until(f"{self.model} {version} to take the traffic", lambda: self.routed(version), limit_s)
        return time.monotonic() - start

    def load(self, folder: Path, kinds: list[str], **more: Any) -> Load:
        return Load(folder, plan(self.pool, self.model, self.versions, kinds, **more))


@pytest.fixture
def operating(folder: Path, registry: Registry, catalog: Path, pool: list[Replica]) -> Iterator[Part]:
    with operator(folder, registry.uri, catalog, pool) as part:
        yield part


def settle(load: Load, seconds: float = 1.5) -> None:
    """Some load before and after what the test does."""
    time.sleep(seconds)
    assert load.part.alive(), load.part.text()[-2000:]


def test_a_promotion_loses_nothing_and_mixes_nothing(
    registry: Registry, pool: list[Replica], operating: Part, tmp_path: Path, record_property: Any
) -> None:
    """A promotion under load on both protocols: every request is answered, by a ready version, with its own answer."""
    story = Story(registry, pool, "promoted", "linear-1", "linear-2")
    story.promote("1")
    with story.load(tmp_path, KINDS) as load:
        settle(load)
        story.promote("2")
        ready = {replica.http: first_ready(replica, "promoted", "2") for replica in pool}
        settle(load)
        report = load.finish()
    assert report.lost() == []
    assert report.wrong() == []
    assert set(report.versions()) == {"1", "2"}
    second = [record for record in report.records if record["version"] == "2"]
    first = [record for record in report.records if record["version"] == "1"]
    assert [record for record in second if record["done"] < ready[record["replica"]]] == []
    # Not an assertion: how long the four workers' answers were mixed.
    mixed_ms = max(record["done"] for record in first) - min(record["done"] for record in second)
    record_property("switch_mixed_ms", round(1000 * max(0.0, mixed_ms), 1))


def first_ready(replica: Replica, model: str, version: str) -> float:
    """When the first worker of this replica had it ready, by the server's own word (Unix seconds)."""
    return float(min(worker["since"] for worker in replica.version(model, version)["workers"].values()))


def test_replacing_every_worker_loses_nothing(
    registry: Registry, pool: list[Replica], operating: Part, tmp_path: Path, record_property: Any
) -> None:
    """Every worker is replaced, one after the other: 0 lost on HTTP, kept gRPC channels, and new ones that retry."""
    story = Story(registry, pool, "replaced", "linear-3")
    story.promote("1")
    with story.load(tmp_path, [*KINDS, "grpc-new"]) as load:
        settle(load)
        for replica in pool:
            for worker in replica.workers():
                replace(replica, worker["id"])
        settle(load)
        report = load.finish()
    assert report.lost(*KINDS) == []
    assert report.wrong() == []
    bare = report.lost("grpc-new")
    record_property("bare_new_grpc_channels_lost", f"{len(bare)} of {len(report.of('grpc-new'))}")


def replace(replica: Replica, worker: str) -> None:
    answer = httpx.post(f"{replica.control}/control/workers/{worker}/replace", timeout=40)
    assert answer.status_code in (200, 202), answer.text

    def replaced() -> bool:
        workers = replica.workers()
        return worker not in [w["id"] for w in workers] and all(w["state"] == "accepting" for w in workers)

    until(f"worker {worker} to be replaced", replaced, 60)


def test_a_killed_worker_costs_only_what_was_in_its_hands(
    registry: Registry, pool: list[Replica], operating: Part, tmp_path: Path, record_property: Any
) -> None:
    """SIGKILL of a worker under load: the rest of the replica answers on, the successor has the newest catalog."""
    story = Story(registry, pool, "killed", "linear-4")
    story.promote("1")
    before = pool[0].workers()
    with story.load(tmp_path, KINDS) as load:
        settle(load)
        victim = before[0]
        os.kill(victim["pid"], signal.SIGKILL)

        def succeeded() -> bool:
            workers = pool[0].workers()
            accepting = [w for w in workers if w["state"] == "accepting"]
            return victim["pid"] not in [w["pid"] for w in workers] and len(accepting) == len(before)

        until("the successor", succeeded, 60)
        settle(load)
        report = load.finish()
    # In its hands: at most what was under way at that instant on its connections.
    assert len(report.lost()) <= 8, report.lost()
    assert report.wrong() == []
    generations = {w["generation"] for w in pool[0].workers()}
    assert generations == {pool[0].status()["generation"]}
    record_property("worker_killed_lost", f"{len(report.lost())} of {len(report.records)}")
    record_property("worker_killed_longest_s", round(report.longest_s(), 3))


def test_the_operator_killed_at_any_time_ends_the_same(
    folder: Path, registry: Registry, catalog: Path, pool: list[Replica], tmp_path: Path
) -> None:
    """SIGKILL of the operator before, in the middle of and after a promotion: the same end."""
    part = start_operator(folder, registry.uri, catalog, pool)
    try:
        story = Story(registry, pool, "orphaned", "linear-5", "linear-6", "linear-7")
        story.promote("1")
        with story.load(tmp_path, KEPT) as load:
            part.kill()  # before
            registry.promote("orphaned", "2")
            part = start_operator(folder, registry.uri, catalog, pool)
            until("version 2 to be seen", lambda: pool[0].version("orphaned", "2"), 60, every_s=0.01)
            part.kill()  # in the middle
            part = start_operator(folder, registry.uri, catalog, pool)
            until("version 2 to take the traffic", lambda: story.routed("2"), 60)
            part.kill()  # after
            settle(load)
            assert story.routed("2")
            part = start_operator(folder, registry.uri, catalog, pool)
            story.promote("3")
            report = load.finish()
    finally:
        part.stop()
    assert report.lost() == []
    assert report.wrong() == []


def test_mlflow_gone_costs_nothing(
    registry: Registry, pool: list[Replica], operating: Part, folder: Path, tmp_path: Path
) -> None:
    """MLflow killed under load and started again: nothing is lost or unloaded, and promotions go on afterwards."""
    story = Story(registry, pool, "unregistered", "linear-8", "linear-9")
    story.promote("1")
    with story.load(tmp_path, KEPT) as load:
        said = len(operating.text())
        registry.server.kill()
        settle(load, 5)
        assert story.routed("1")
        until("the operator to say since when", lambda: "registry not seen" in operating.text()[said:], 20)
        registry.server.restart()
        story.promote("2")
        report = load.finish()
    assert report.lost() == []
    assert report.wrong() == []


def test_a_drained_replica_loses_nothing(
    registry: Registry, pool: list[Replica], operating: Part, tmp_path: Path, record_property: Any
) -> None:
    """A replica drains and its successor comes: 0 lost on HTTP, kept gRPC channels, and new ones that retry."""
    story = Story(registry, pool, "drained", "linear-10")
    story.promote("1")
    boot = pool[1].status()["boot"]
    with story.load(tmp_path, [*KINDS, "grpc-new"]) as load:
        settle(load)
        answer = httpx.post(f"{pool[1].control}/control/drain", timeout=60)
        assert answer.status_code in (200, 202), answer.text
        until("a successor of the drained replica", lambda: reborn(pool[1], boot), 120)
        settle(load)
        report = load.finish()
    assert report.lost(*KINDS) == []
    assert report.wrong() == []
    record_property("drain_bare_new_grpc_channels_lost", len(report.lost("grpc-new")))


def reborn(replica: Replica, boot: str) -> bool:
    status = replica.status()
    return bool(status["boot"] != boot and status["ready"])


def test_a_killed_replica_comes_back_with_the_newest_catalog(
    registry: Registry, pool: list[Replica], operating: Part, tmp_path: Path, record_property: Any
) -> None:
    """SIGKILL of a whole replica: no worker outlives its supervisor, and the successor serves the newest catalog."""
    story = Story(registry, pool, "buried", "linear-11")
    story.promote("1")
    status = pool[1].status()
    workers = [worker["pid"] for worker in status["workers"]]
    supervisor = parent_of(workers[0])
    with story.load(tmp_path, KINDS) as load:
        settle(load)
        os.kill(supervisor, signal.SIGKILL)
        until("the workers to end with their supervisor", lambda: not any(map(exists, workers)), 5)
        until("the replica's successor", lambda: reborn(pool[1], status["boot"]), 120)
        settle(load)
        report = load.finish()
    lost = report.lost()
    assert {record["replica"] for record in lost} <= {pool[1].http}
    assert report.wrong() == []
    assert pool[1].status()["generation"] == pool[0].status()["generation"]
    record_property("replica_killed_lost", f"{len(lost)} of {len(report.records)}")
    record_property("replica_killed_longest_s", round(report.longest_s(), 3))


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def exists(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has reaped yet has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
