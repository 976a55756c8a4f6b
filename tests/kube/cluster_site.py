"""A pool without pods: an operator in this process, against a real API server, with replicas and a registry of ours.

    site = ClusterSite(api_server, namespace)
    with site.operator():
        site.serve("churn")
        site.until("it serves", lambda: site.phase("churn") == "Serving")

Nobody makes EndpointSlices here: `slices` writes them. Their addresses are names for the replicas; no packet is sent.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import loopback
import msgspec
from kube.api_server import ApiServer, Refused

from fairlead_operator import config
from fairlead_operator.cluster.api import Api
from fairlead_operator.cluster.carrier import unpack
from fairlead_operator.cluster.operator import Operator
from fairlead_operator.documents import Catalog, read_catalog
from fairlead_operator.testing import LIFE, Artifact, FakeRegistry, FakeReplica, World

DEFINITION = Path(__file__).parents[2] / "charts/fairlead/files/servedmodels.yaml"
LIMIT_S = 120.0  # two busy cores
MANAGED = "kubernetes.io/service-name"


class Pods(httpx.AsyncBaseTransport):
    """The replicas' control APIs by address; `away` are those that do not answer."""

    def __init__(self, replicas: Mapping[str, FakeReplica], quick: bool) -> None:
        control = at_once if quick else loopback.control
        self._handles = {address: control(replica) for address, replica in replicas.items()}
        self.away: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.away or host not in self._handles:
            raise httpx.ConnectError("away", request=request)
        status, data = self._handles[host](request.method, request.url.path, {}, await request.aread())
        return httpx.Response(status, content=data, request=request)


def at_once(replica: FakeReplica) -> loopback.Handle:
    """The control API of a replica in which everything is ready as soon as it is asked for: thousands of models take
    no time."""
    status = [msgspec.json.encode(replica.status())]

    def handle(method: str, path: str, query: dict[str, str], body: bytes) -> loopback.Answer:
        if method == "PUT":
            answer = replica.put(body)
            for _ in LIFE:
                replica.tick()
            status[0] = msgspec.json.encode(replica.status())
            return (200, b"{}") if answer.stored else (409, answer.why.encode())
        if path == "/control/status":
            return 200, status[0]
        return (200, replica.stored) if replica.stored else (404, b"none")

    return handle


class Running:
    """An operator on a thread and a loop of its own."""

    def __init__(self, site: ClusterSite, settings: dict[str, Any], kubeconfig: Path) -> None:
        self._site = site
        self._settings = config.parse(settings)
        self._kubeconfig = str(kubeconfig)
        self._started = threading.Event()
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._thread.start()
        assert self._started.wait(LIMIT_S)

    def end(self) -> None:
        """In order, as on SIGTERM."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.operator.stop)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def calls(self) -> dict[str, int]:
        return dict(self.server.calls)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.failed = error
            self._started.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.server = await Api.connect(self._kubeconfig)
        registry = self._site.registry
        self.operator = Operator(self._settings, self.server, registry, self._kubeconfig, self._site.pods)
        self._started.set()
        await self.operator.run()


class ClusterSite:
    """One namespace with one pool, `default`, of two replicas."""

    def __init__(self, server: ApiServer, namespace: str, replicas: int = 2, quick: bool = False) -> None:
        self.server = server
        self.namespace = namespace
        self.world: World = {f"/m/{name}": Artifact(name) for name in ("1", "2", "3", "4")}
        self.registry = FakeRegistry()
        self.replicas = {f"10.9.0.{n + 1}": FakeReplica(self.world, f"r{n}") for n in range(replicas)}
        self.pods = Pods(self.replicas, quick)
        self.settings: dict[str, Any] = {
            "registry": {"uri": "fake://", "intervalSeconds": 0.2},
            "watchNamespaces": [namespace],
            "pools": {
                "default": {"namespace": namespace, "service": "f-default-control", "catalog": "f-default-catalog"}
            },
            "lease": {"namespace": namespace, "name": "f-operator"},
            "holdSeconds": 3600,
            "listen": {"host": "127.0.0.1", "port": 0},
        }
        self.slices(*self.replicas)

    @contextlib.contextmanager
    def operator(self, kubeconfig: Path | None = None, **settings: Any) -> Iterator[Running]:
        running = Running(self, {**self.settings, **settings}, kubeconfig or self.server.kubeconfig)
        try:
            yield running
        finally:
            running.end()
        if running.failed is not None:
            raise running.failed

    def slices(self, *addresses: str, ready: bool = True) -> None:
        """The Service's endpoints are these."""
        metadata = {
            "name": "f-default-control-1",
            "namespace": self.namespace,
            "labels": {MANAGED: "f-default-control"},
        }
        ends = [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses]
        self.apply("discovery.k8s.io/v1", "EndpointSlice", metadata, addressType="IPv4", endpoints=ends,
                   ports=[{"name": "control", "port": 8003, "protocol": "TCP"}])  # fmt: skip

    def register(self, model: str, *sources: str, tagged: bool = False) -> None:
        self.registry.register(model, *(sources or ("/m/1", "/m/2")), serve=tagged)
        self.registry.promote(model, "1")

    def serve(self, name: str, **spec: Any) -> None:
        """A person applies a ServedModel."""
        self.apply("fairlead.dev/v1alpha1", "ServedModel", {"name": name, "namespace": self.namespace}, spec=spec)

    def apply(self, version: str, kind: str, metadata: dict[str, Any], **fields: Any) -> None:
        self.server.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **fields})

    def annotate(self, kind: str, name: str, **annotations: str) -> None:
        said = [f"fairlead.dev/{key}={value}" for key, value in annotations.items()]
        self.server.kubectl("annotate", "--overwrite", kind, name, *said, namespace=self.namespace)

    # --- what became of it

    def found(self, name: str) -> dict[str, Any]:
        return self.server.get("servedmodels", name, self.namespace)

    def status(self, name: str) -> dict[str, Any]:
        """Empty where there is none, or no such object."""
        try:
            found: dict[str, Any] = self.found(name).get("status") or {}
        except Refused:
            return {}
        return found

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", ""))

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        conditions = self.status(name).get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {"status": "", "reason": "", "message": ""})

    def stable(self, name: str) -> str:
        return str((self.status(name).get("stable") or {}).get("version", ""))

    def catalog(self) -> Catalog | None:
        """As it is stored; None where there is no ConfigMap."""
        try:
            found = self.server.get("configmap", "f-default-catalog", self.namespace)
        except Refused:
            return None
        return read_catalog(unpack(base64.b64decode(found["binaryData"]["catalog.json.gz"])))

    def routed(self, model: str) -> str:
        catalog = self.catalog()
        return catalog.models[model].routed if catalog and model in catalog.models else ""

    def until(self, what: str, look: Callable[[], object], limit_s: float = LIMIT_S, pause_s: float = 0.2) -> None:
        deadline = time.monotonic() + limit_s
        while not look():
            assert time.monotonic() < deadline, f"still waiting until {what}"
            time.sleep(pause_s)

    def until_serving(self, name: str, version: str = "1") -> None:
        self.until(
            f"{name} serves {version}",
            lambda: self.stable(name) == version and self.phase(name) in ("Serving", "Holding"),
        )
