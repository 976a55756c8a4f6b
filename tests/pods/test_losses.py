"""Pods that are deleted, evicted, killed: what clients of the pool's Service lose, and what goes on without them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from harness.parts import Part, until
from pods.losses import under_load
from pods.site import NAMESPACE, Site
from pods.terminal import kubectl, listed, true

GONE_S, DRAIN_S, RAY_GIVES_UP_S = 120.0, 400.0, 70.0


@pytest.fixture(scope="module")
def versions(site: Site) -> dict[str, dict[str, Any]]:
    """Of the model that is asked meanwhile; the first serves."""
    versions = site.registry.register("asked", "linear-5", "linear-6", "linear-7")
    site.promote("asked", "1")
    return versions


def ready(site: Site) -> set[str]:
    return {pod["metadata"]["name"] for pod in site.pods() if true(pod, "Ready")}


def delete(pod: dict[str, Any], *options: str) -> None:
    kubectl("delete", "pod", pod["metadata"]["name"], f"--namespace={NAMESPACE}", *options, limit_s=GONE_S)


def test_a_worker_pod_that_is_deleted_costs_nothing(
    site: Site, versions: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    """It drains before it ends, and another takes its place."""
    with under_load(site, "asked", versions, tmp_path) as seen:
        started = time.monotonic()
        delete(site.pods()[0])
        site.settle()
        record_property("worker_pod_back_s", round(time.monotonic() - started, 1))
    seen.record(record_property, "worker_pod_deleted")
    assert seen.lost() == []


def test_a_worker_pod_that_is_killed_costs_what_it_held(
    site: Site, versions: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    """Every process of it gets SIGKILL, as from the kernel when memory ends: what it held is lost, and what is sent to
    it until the Service has heard."""
    pod = site.pods()[0]
    with under_load(site, "asked", versions, tmp_path) as seen:
        kill_all(pod)
        until("it to be noticed", lambda: pod["metadata"]["name"] not in ready(site), GONE_S, every_s=0.2)
        site.settle()
    seen.record(record_property, "worker_pod_killed")
    record_property("worker_pod_killed_outage_s", round(seen.outage_s(), 2))
    assert seen.outage_s() < 10, "requests were still lost when the Service had long been told"


def kill_all(pod: dict[str, Any]) -> None:
    """All of its container but the first process, which ends when Ray does."""
    code = "import os, signal; os.kill(-1, signal.SIGKILL)"
    words = ["kubectl", "exec", pod["metadata"]["name"], f"--namespace={NAMESPACE}", "--container=ray-worker"]
    subprocess.run([*words, "--", "python", "-c", code], capture_output=True, timeout=GONE_S, check=False)


def test_without_its_operator_a_pool_serves_on(
    site: Site, versions: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    """The operator's pod is deleted: traffic does not notice, and the next operator takes up what it finds."""
    gone = site.operators()[0]["metadata"]["name"]
    with under_load(site, "asked", versions, tmp_path) as seen:
        delete(site.operators()[0], "--force", "--grace-period=0")

        def another() -> bool:
            return any(true(pod, "Ready") and pod["metadata"]["name"] != gone for pod in site.operators())

        until("another operator to be ready", another, GONE_S, every_s=0.5)
        record_property("promotion_by_the_next_operator_s", round(site.promote("asked", "2"), 1))
    seen.record(record_property, "operator_pod_deleted")
    assert seen.report.lost() == []


def test_a_drained_node_leaves_the_budgets_pods(
    site: Site, versions: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    """`kubectl drain` takes the pool's pods one at a time: the second waits until the first has a successor.

    There is one node here, so it takes pods again as soon as the budget has been seen to hold.
    """
    node = listed("nodes")[0]["metadata"]["name"]
    before = {pod["metadata"]["name"] for pod in site.pods()}
    words = ["kubectl", "drain", node, "--pod-selector=fairlead.dev/serving=true", "--delete-emptydir-data", "--force"]
    with under_load(site, "asked", versions, tmp_path) as seen:
        with Part("drain", [*words, f"--timeout={DRAIN_S:g}s"], tmp_path / "drain.log") as drain:
            try:
                until("the budget to hold one back", lambda: "disruption budget" in drain.text(), GONE_S, every_s=0.5)
                left = {pod["metadata"]["name"] for pod in site.pods() if "deletionTimestamp" not in pod["metadata"]}
            finally:
                kubectl("uncordon", node)
            until("the drain to end", lambda: not drain.alive(), DRAIN_S, every_s=0.5)
            assert drain.stop() == 0, drain.text()
        site.settle()
    assert len(left & before) == 1
    seen.record(record_property, "node_drained")
    assert before.isdisjoint(pod["metadata"]["name"] for pod in site.pods())
    assert seen.lost() == []


def test_a_head_with_fault_tolerance_may_die(
    site: Site, versions: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    """Its state lies in Redis: the workers serve on, the new head finds them, and no pod is made anew but its own."""
    before = site.lives()
    with under_load(site, "asked", versions, tmp_path) as seen:
        started = time.monotonic()
        delete(site.heads()[0])
        site.settle()
        record_property("head_back_s", round(time.monotonic() - started, 1))
        # Ray's own limit for a cluster without its head is a minute: the workers outlive it.
        time.sleep(RAY_GIVES_UP_S)
    seen.record(record_property, "head_deleted_with_fault_tolerance")
    assert site.lives() == before
    assert seen.report.lost() == []
