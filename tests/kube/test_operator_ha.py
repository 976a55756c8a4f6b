"""Several operators, a killed one, an API server that goes away, a watch that is too old, people at the ConfigMap."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loopback
import pytest
import yaml
from kube.api_server import ApiServer
from kube.cluster_site import DEFINITION, ClusterSite

from fairlead_operator.cluster import api, carrier
from fairlead_operator.cluster.carrier import pack
from fairlead_operator.cluster.lease import DURATION_S

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def defined(api_server: ApiServer) -> ApiServer:
    """ServedModels are served."""
    api_server.install(DEFINITION)
    return api_server


@pytest.fixture
def site(defined: ApiServer, namespace: str) -> ClusterSite:
    return ClusterSite(defined, namespace)


@contextlib.contextmanager
def process(site: ClusterSite, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An operator as a process of its own; it can reach no replica."""
    with loopback.serve(loopback.registry(site.registry)) as uri, (folder / "operator.log").open("ab") as log:
        (folder / "operator.yaml").write_text(yaml.safe_dump({**site.settings, "registry": {"uri": uri}}))
        command = [sys.executable, "-m", "fairlead_operator", "operate", "--config", str(folder / "operator.yaml")]
        command += ["--kubeconfig", str(site.server.kubeconfig)]
        running = subprocess.Popen(command, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        try:
            yield running
        finally:
            running.kill()
            running.wait(10)


def lease(site: ClusterSite) -> dict[str, Any]:
    found = site.server.http.get(f"/apis/coordination.k8s.io/v1/namespaces/{site.namespace}/leases/f-operator")
    spec: dict[str, Any] = found.json()["spec"] if found.is_success else {}
    return spec


def holder(site: ClusterSite) -> str:
    return str(lease(site).get("holderIdentity", ""))


def test_a_killed_leader_is_followed(site: ClusterSite, tmp_path: Path) -> None:
    """The second writes nothing while the first lives, and takes over when its lease is over."""
    site.register("churn")
    site.serve("churn")
    with process(site, tmp_path) as first:
        site.until("the first is at work", lambda: site.phase("churn") == "Loading")
        with site.operator() as second:
            time.sleep(3)
            assert set(second.calls()) == {"GET"}
            assert not second.operator.lease.held()
            renewed = lease(site)["renewTime"]
            site.until("the first renews", lambda: lease(site)["renewTime"] != renewed)
            seen = time.monotonic()
            first.kill()
            site.until("the second is active", second.operator.lease.held)
            # Not before the first must have stopped; that its renewal is seen here takes less than three seconds.
            assert time.monotonic() - seen > DURATION_S - 3
            site.until_serving("churn")


def test_an_operator_that_ends_in_order_hands_over(site: ClusterSite) -> None:
    """The lease is given back: the next one need not wait; the rollout goes on where it stood."""
    site.register("churn")
    site.serve("churn")
    with site.operator() as first, site.operator() as second:
        site.until_serving("churn")
        site.until("one is active", lambda: first.operator.lease.held() != second.operator.lease.held())
        active, passive = (first, second) if first.operator.lease.held() else (second, first)
        active.end()
        site.until("the other is active", passive.operator.lease.held)
        site.registry.promote("churn", "2")
        site.until_serving("churn", "2")


def test_the_api_server_goes_away_and_comes_back(site: ClusterSite) -> None:
    """What serves goes on serving; afterwards new objects, promotions and removals are seen."""
    site.register("churn")
    site.register("fraud", "/m/3")
    site.serve("churn")
    with site.operator() as running:
        site.until_serving("churn")
        site.server.restart()
        site.registry.promote("churn", "2")
        site.serve("fraud")
        site.until_serving("churn", "2")
        site.until_serving("fraud")
        site.server.kubectl("delete", "sm", "fraud", namespace=site.namespace)
        site.until("it is unloaded", lambda: all("fraud" not in r.catalog.models for r in site.replicas.values()))
        site.slices(*list(site.replicas)[:1])
        site.until("a replica is gone", lambda: site.status("churn")["replicas"] == {"ready": 1, "total": 1})
        assert running.failed is None


def test_what_is_removed_while_the_watch_is_too_old(site: ClusterSite) -> None:
    """etcd forgets what the watch would go on from: a list finds what it missed."""
    for name in ("churn", "fraud"):
        site.register(name, "/m/3")
        site.serve(name)
    with site.operator():
        site.until_serving("churn")
        site.until_serving("fraud")
        site.server.restart()
        site.server.kubectl("delete", "sm", "fraud", namespace=site.namespace)
        site.server.compact()
        site.server.restart()
        site.until("it is unloaded", lambda: all("fraud" not in r.catalog.models for r in site.replicas.values()), 240)
        assert site.routed("churn") == "1"
        site.serve("late", model="churn")
        site.until_serving("late")


def test_a_watch_from_what_was_compacted_is_told(site: ClusterSite) -> None:
    """410: the list is read anew."""
    site.serve("churn")
    old = site.found("churn")["metadata"]["resourceVersion"]
    site.serve("churn", alias="live")
    site.server.compact()
    site.server.restart()

    async def watch() -> None:
        server = await api.Api.connect(str(site.server.kubeconfig))
        try:
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(api.ApiFault):  # 429, while its storage is being initialized
                        async for _ in server.watch(api.served_models(site.namespace), old):
                            pass
                    await asyncio.sleep(0.5)
        finally:
            await server.close()

    with pytest.raises(api.Expired):
        asyncio.run(watch())


class TestConfigMap:
    """What people do to the stored catalog."""

    @pytest.fixture(autouse=True)
    def look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(carrier, "FRESH_S", 0.5)
        monkeypatch.setattr(carrier, "AGAIN_S", 0.5)

    def test_deleted_by_hand(self, site: ClusterSite) -> None:
        """It is written again, with the same generation: no replica notices."""
        site.register("churn")
        site.serve("churn")
        with site.operator():
            site.until_serving("churn")
            before = site.catalog()
            site.server.kubectl("delete", "configmap", "f-default-catalog", namespace=site.namespace)
            site.until("it is there again", lambda: site.catalog() == before)

    def test_deleted_while_no_operator_runs(self, site: ClusterSite) -> None:
        """The newest replica's catalog is taken over."""
        site.register("churn")
        site.serve("churn")
        with site.operator():
            site.until_serving("churn")
        before = site.catalog()
        site.server.kubectl("delete", "configmap", "f-default-catalog", namespace=site.namespace)
        with site.operator():
            site.until("it is there again", lambda: site.catalog() is not None)
            assert site.catalog().models == before.models
            site.until_serving("churn")

    def test_put_back_from_an_old_backup(self, site: ClusterSite) -> None:
        """While the operator runs, and while it does not: the newer generation wins."""
        site.register("churn")
        site.serve("churn")
        with site.operator():
            site.until_serving("churn")
            old = patch(site.server.get("configmap", "f-default-catalog", site.namespace)["binaryData"])
            site.registry.promote("churn", "2")
            site.until_serving("churn", "2")
            generation = site.catalog().generation
            change(site, old)
            site.until("the newer is back", lambda: site.catalog().generation >= generation)
            assert site.routed("churn") == "2"
        change(site, old)
        assert site.routed("churn") == "1"
        with site.operator():
            site.until("the newer is back", lambda: site.catalog().generation >= generation)
            site.until_serving("churn", "2")

    def test_edited_into_nonsense(self, site: ClusterSite) -> None:
        """A condition on every object; what serves serves; nothing is written over until somebody deletes it."""
        site.register("churn")
        site.serve("churn")
        with site.operator():
            site.until_serving("churn")
            nonsense = patch({"catalog.json.gz": base64.b64encode(pack(b"models: {}")).decode()})
            change(site, nonsense)
            site.registry.promote("churn", "2")
            site.until("it is told", lambda: site.condition("churn", "CatalogNotStored")["status"] == "True")
            assert "delete it" in site.condition("churn", "CatalogNotStored")["message"]
            assert all(replica.routes["churn"][0] == {"1": 1.0} for replica in site.replicas.values())
            site.server.kubectl("delete", "configmap", "f-default-catalog", namespace=site.namespace)
            site.until_serving("churn", "2")
            assert site.condition("churn", "CatalogNotStored")["status"] == ""

    def test_too_large(self, site: ClusterSite, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those that needed the write say so; the others, and what serves, are as before."""
        site.register("churn")
        site.register("fraud", "/m/3")
        site.serve("churn")
        with site.operator():
            site.until_serving("churn")
            monkeypatch.setattr(carrier, "LARGEST", 10)
            site.serve("fraud")
            site.until("it is told", lambda: site.condition("fraud", "CatalogTooLarge")["status"] == "True")
            assert "serve fewer models" in site.condition("fraud", "CatalogTooLarge")["message"]
            assert site.condition("churn", "Ready")["status"] == "True"
            assert site.condition("churn", "CatalogTooLarge")["status"] == ""
            monkeypatch.undo()
            site.until_serving("fraud")


def patch(binary: dict[str, str]) -> str:
    return json.dumps({"binaryData": binary})


def change(site: ClusterSite, body: Any) -> None:
    site.server.kubectl(
        "patch", "configmap", "f-default-catalog", "--type=merge", f"--patch={body}", namespace=site.namespace
    )
