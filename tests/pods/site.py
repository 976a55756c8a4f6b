"""Fairlead in a real cluster: a release of the chart, its pool, an MLflow, and the load that clients put on it."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from harness.loads import Load, plan
from harness.parts import NotYet, until
from harness.registry import Registry
from pods.terminal import Object, get, listed, rolled_out, run, true

NAMESPACE = "fairlead"
RELEASE = "fairlead"
POOL = "fairlead-default"
DEFINITION = "servedmodels.fairlead.dev"
IMAGE_TAG, NEXT_TAG = "0.1.0", "0.1.0-next"  # hack/e2e brings both
KINDS = ["http", "http-new", "grpc", "grpc-new", "grpc-retry"]
BARE = "grpc-new"  # a new channel for each request, and no retry: what a killed listener's kernel queue costs is its
RATE = 8.0  # of each kind: two cores carry Ray's and Kubernetes' own starts as well
CHANGE_S = 420.0  # Ray's start on two busy cores, twice
PROMOTED_S = 120.0
VALUES = Path(__file__).with_name("values.yaml")


@dataclasses.dataclass(frozen=True)
class Mlflow:
    """What `Registry` wants to know of a server."""

    uri: str
    artifacts: Path


@dataclasses.dataclass
class Site:
    """The release as the tests share it. Each test leaves it serving."""

    registry: Registry
    replicas: int = 1
    tag: str = IMAGE_TAG

    def change(self, values: Object | None = None) -> float:
        """`helm upgrade` to tests/pods/values.yaml with `values` above it; the seconds until the pool is so."""
        started = time.monotonic()
        wanted = {"image": {"tag": self.tag}, **(values or {})}
        options = ("--values", str(VALUES), "--values", "-")
        words = ["helm", "upgrade", RELEASE, "charts/fairlead", "--namespace", NAMESPACE, "--reset-values", *options]
        before = self.rayservice()
        run(words, stdin=json.dumps(wanted))
        self.replicas = wanted.get("poolDefaults", {}).get("replicas", 2)
        rolled_out("fairlead-operator", NAMESPACE)
        replaced = _cluster_of(before) != _cluster_of(self.rayservice())
        self.settle(left=_active(before) if replaced else "")
        return time.monotonic() - started

    def settle(self, replicas: int | None = None, left: str = "") -> None:
        """Until there is one Ray cluster, not the one that is `left`, and as many of its pods serve as should."""
        wanted = self.replicas if replicas is None else replicas
        until(f"{wanted} serving pods of one cluster", lambda: self._settled(wanted, left), CHANGE_S, every_s=1.0)

    def _settled(self, wanted: int, left: str) -> bool:
        active, pods, heads = _active(self.rayservice()), self.pods(), self.heads()
        clusters = {pod["metadata"]["labels"]["ray.io/cluster"] for pod in [*pods, *heads]}
        there = [pod for pod in [*pods, *heads] if true(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]]
        if clusters != {active} or active == left or len(heads) != 1 or not len(pods) == len(there) - 1 == wanted:
            seen = [(pod["metadata"]["name"], true(pod, "Ready")) for pod in [*pods, *heads]]
            raise NotYet(f"{active} is active, and was before: {left == active}; pods {seen}")
        return True

    def rayservice(self) -> Object:
        return get("rayservice", POOL, f"--namespace={NAMESPACE}")

    def pods(self) -> list[Object]:
        """The pool's worker pods."""
        return self._pods("fairlead.dev/pool=default,fairlead.dev/serving=true")

    def lives(self) -> set[tuple[str, int]]:
        """The worker pods and how often their containers were started."""
        pods = self.pods()
        return {(pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in pods}

    def heads(self) -> list[Object]:
        return self._pods("fairlead.dev/pool=default,app.kubernetes.io/component=head")

    def operators(self) -> list[Object]:
        return self._pods("app.kubernetes.io/component=operator")

    def _pods(self, selector: str) -> list[Object]:
        return listed("pods", f"--namespace={NAMESPACE}", f"--selector={selector}")

    def address(self) -> dict[str, str]:
        """The pool's Service, by its address in the cluster, as a client that is not in a pod reaches it."""
        service = get("service", POOL, f"--namespace={NAMESPACE}")
        where = service["spec"]["clusterIP"]
        return {port["name"]: f"{where}:{port['port']}" for port in service["spec"]["ports"]}

    def served(self, name: str) -> Object:
        return get("servedmodel", name, f"--namespace={NAMESPACE}")

    def promote(self, model: str, version: str) -> float:
        """Moves the alias; the seconds until its ServedModel says that the version has the traffic everywhere."""
        started = time.monotonic()
        self.registry.promote(model, version)

        def serves() -> bool:
            found = self.served(model)
            status = found.get("status", {})
            if status.get("stable", {}).get("version") != version or not true(found, "Ready"):
                raise NotYet(json.dumps({key: status.get(key) for key in ("phase", "reason", "stable")}))
            return True

        until(f"{model} {version} to serve", serves, PROMOTED_S, every_s=0.2)
        return time.monotonic() - started

    def load(self, model: str, versions: dict[str, Any], folder: Path, **more: Any) -> Load:
        """Open-loop load on both protocols through the pool's Service, two kept clients of each kind."""
        clients = [{**self.address(), "client": name} for name in ("a", "b")]
        wanted = plan([], model, versions, KINDS, **{"rate": RATE, **more})
        return Load(folder, {**wanted, "replicas": clients})


def _active(service: Object) -> str:
    """The Ray cluster that serves."""
    found: str = service.get("status", {}).get("activeServiceStatus", {}).get("rayClusterName", "")
    return found


def _cluster_of(service: Object) -> Object:
    """What KubeRay makes another Ray cluster for when it changes: all but the numbers of pods."""
    config: Object = json.loads(json.dumps(service["spec"]["rayClusterConfig"]))
    for group in config["workerGroupSpecs"]:
        del group["replicas"]
    return config
