"""What tests in pods share: one release of the chart on the cluster of `hack/cluster`, an MLflow beside it.

Run by `hack/e2e`, and by nothing else: these tests want the cluster, its network and the images. `installed` is the
README's path, run once; `site` is the same release with two small replicas, which each test leaves serving.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import time
from collections.abc import Generator, Iterator

import pytest
from harness.parts import Part
from harness.registry import Registry
from pods import readme
from pods.site import DEFINITION, NAMESPACE, RELEASE, Mlflow, Site
from pods.terminal import get, kubectl, rolled_out, run

LIMIT_S, LOOK_S = 900.0, 20.0


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.pods)
    item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A new MLflow in the cluster."""
    assert "KUBECONFIG" in os.environ, "these tests run in a cluster: hack/e2e"
    clean()
    kubectl("apply", "--filename=tests/pods/mlflow.yaml")
    rolled_out("mlflow", "mlflow")
    service = get("service", "mlflow", "--namespace=mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    registry = Registry(Mlflow(f"http://{service['spec']['clusterIP']}:5000", folder / "artifacts"))
    yield registry
    registry.close()


@dataclasses.dataclass(frozen=True)
class Installed:
    """What the README's commands printed, and how long they took; the versions of `Churn` that are registered."""

    site: Site
    printed: dict[str, str]
    seconds: dict[str, float]
    churn: dict[str, dict[str, object]]


@pytest.fixture(scope="session")
def installed(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The README's path for platform teams, line by line. What fails later is told with the cluster's own words."""
    churn = registry.register("Churn", "linear-1", "linear-2")
    # It is asked for by an object, not by its tag.
    registry.call("DELETE", "registered-models/delete-tag", name="Churn", key="fairlead.serve")
    printed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    folder = tmp_path_factory.mktemp("readme")
    with contextlib.ExitStack() as running:
        for number, line in enumerate(readme.commands()):
            command = readme.here(line, registry.uri)
            if command.endswith("&"):  # the shell's way to let it run beside the next ones
                running.enter_context(Part(line, command.removesuffix("&").split(), folder / f"{number}.log"))
                continue
            started = time.monotonic()
            printed[line] = run(command, limit_s=LIMIT_S)
            seconds[line] = time.monotonic() - started
    return Installed(Site(registry), printed, seconds, churn)


@pytest.fixture(scope="session")
def site(installed: Installed) -> Site:
    """In two steps: beside a pool with the chart's own requests there is room on two cores for one more replica."""
    kubectl("apply", "--filename=tests/pods/redis.yaml")
    rolled_out("redis", "redis")
    installed.site.change({"poolDefaults": {"replicas": 1}})
    installed.site.change()
    return installed.site


def clean() -> None:
    """What an earlier run on this cluster has left. Redis goes last: KubeRay empties it before a Ray cluster may go."""
    run(["helm", "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait"], limit_s=LIMIT_S)
    kubectl("delete", "crd", DEFINITION, "--ignore-not-found")
    for namespace in (NAMESPACE, "mlflow", "redis"):
        kubectl("delete", "namespace", namespace, "--ignore-not-found", limit_s=LIMIT_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a person would look at next is shown with what failed."""
    report = yield
    if report.failed:
        for words in ("get pods,rayservices --all-namespaces", f"get servedmodels,events --namespace={NAMESPACE}"):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                said = subprocess.run(["kubectl", *words.split()], capture_output=True, text=True, timeout=LOOK_S)
                report.sections.append((f"kubectl {words}", (said.stdout + said.stderr)[-4000:]))
    return report
