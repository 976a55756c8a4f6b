"""The life of a ServedModel against a real API server: what a person does to it, and what `kubectl get` says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from kube.api_server import ApiServer
from kube.cluster_site import DEFINITION, ClusterSite

from fairlead_operator import status
from fairlead_operator.cluster import api, operator

WIPED = '--patch={"status":null}'


@pytest.fixture(scope="module")
def defined(api_server: ApiServer) -> ApiServer:
    """ServedModels are served."""
    api_server.install(DEFINITION)
    return api_server


@pytest.fixture
def site(defined: ApiServer, namespace: str) -> ClusterSite:
    return ClusterSite(defined, namespace)


def test_created_served_promoted(site: ClusterSite) -> None:
    """An alias moves, and the status tells the truth all the way; the catalog and every replica follow."""
    site.register("churn")
    with site.operator():
        site.serve("churn", model="churn")
        site.until_serving("churn", "1")
        found = site.status("churn")
        assert found["weights"] == {"1": 100}
        assert found["replicas"] == {"ready": 2, "total": 2}
        assert found["stable"]["digest"].startswith("sha256:")
        assert found["observedGeneration"] == 1
        assert site.condition("churn", "Ready")["status"] == "True"
        site.registry.promote("churn", "2")
        site.until_serving("churn", "2")
        assert site.routed("churn") == "2"
        assert all(replica.routes["churn"][0] == {"2": 1.0} for replica in site.replicas.values())
        assert site.status("churn")["lastVerdict"]["result"] == "Pass"
        said = site.server.kubectl("get", "events", "--output=jsonpath={.items[*].reason}", namespace=site.namespace)
        assert "Switched" in said
        assert "Confirmed" in said
    assert site.registry.tag("churn", "2", "status").startswith("serving")


def test_deleting_never_hangs(site: ClusterSite) -> None:
    """No finalizer: it is gone at once, also while no operator runs, and the model is unloaded as soon as one does."""
    site.register("churn")
    site.register("fraud", "/m/3")
    site.serve("churn")
    site.serve("fraud")
    with site.operator():
        site.until_serving("churn")
        site.until_serving("fraud")
        assert "finalizers" not in site.found("churn")["metadata"]
        site.server.kubectl("delete", "sm", "churn", "--timeout=10s", namespace=site.namespace)
        site.until(
            "churn is unloaded", lambda: all("churn" not in one.catalog.models for one in site.replicas.values())
        )
    site.server.kubectl("delete", "sm", "fraud", "--timeout=10s", namespace=site.namespace)
    with site.operator():
        site.until(
            "fraud is unloaded", lambda: all("fraud" not in one.catalog.models for one in site.replicas.values())
        )


def test_a_check_that_finds_nothing_ends_nothing(site: ClusterSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of no objects' metadata has no items at all; the first object after it is served."""
    monkeypatch.setattr(operator, "CHECK_S", 0.1)
    monkeypatch.setattr(operator, "RECHECK_S", 0.1)
    site.register("churn")
    with site.operator() as running:
        site.until("it is checked", lambda: running.operator.objects.complete)
        before = running.calls()["GET"]
        site.until("it is checked again", lambda: running.calls()["GET"] > before + 10)
        site.serve("churn")
        site.until_serving("churn")


def test_deleted_while_the_registry_is_away(site: ClusterSite) -> None:
    """Kubernetes alone says what is asked for: nobody waits for the registry."""
    site.register("churn")
    site.serve("churn")
    with site.operator():
        site.until_serving("churn")
        site.registry.down = "answered 503"
        site.server.kubectl("delete", "sm", "churn", namespace=site.namespace)
        site.until("it is unloaded", lambda: all("churn" not in one.catalog.models for one in site.replicas.values()))
        site.registry.down = ""
        site.serve("churn")
        site.until_serving("churn")


def test_a_wiped_status_is_rebuilt(site: ClusterSite) -> None:
    """While the operator runs, and while it does not: the stored catalog knows which version is routed."""
    site.register("churn")
    site.serve("churn")
    with site.operator():
        site.until_serving("churn")
        before = site.status("churn")
        site.server.kubectl(
            "patch", "sm", "churn", "--subresource=status", "--type=merge", WIPED, namespace=site.namespace
        )
        site.until("it is rebuilt", lambda: lasting(site.status("churn")) == lasting(before))
    site.server.kubectl("patch", "sm", "churn", "--subresource=status", "--type=merge", WIPED, namespace=site.namespace)
    with site.operator():
        site.until_serving("churn")
        site.until("it is rebuilt", lambda: lasting(site.status("churn")) == lasting(before))
        generation = site.catalog().generation
        time.sleep(1)
        assert site.catalog().generation == generation


def lasting(status: dict[str, Any]) -> dict[str, Any]:
    """What does not tell when it was written."""
    return {key: status.get(key) for key in ("phase", "stable", "weights", "replicas", "servedName", "pool")}


def test_a_registry_that_is_gone_is_a_condition(site: ClusterSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves goes on serving, and the status says since when nobody has seen the registry."""
    monkeypatch.setattr(status, "OUTAGE_S", 0.5)
    site.register("churn")
    site.serve("churn")
    with site.operator():
        site.until_serving("churn")
        site.registry.down = "answered 503"
        site.until("it is told", lambda: site.condition("churn", "RegistryReachable")["status"] == "False")
        assert "no complete answer since" in site.condition("churn", "RegistryReachable")["message"]
        assert site.condition("churn", "Ready")["status"] == "True"
        site.registry.down = ""
        site.until("it is well", lambda: site.condition("churn", "RegistryReachable")["status"] == "True")


def test_two_claims_to_one_name(site: ClusterSite) -> None:
    """The older keeps it, the other is told; when the older goes, the other has it."""
    site.register("churn")
    site.register("fraud", "/m/3")
    with site.operator():
        site.serve("churn")
        site.until_serving("churn")
        site.serve("other", model="fraud", servedName="churn")
        site.until("it is told", lambda: site.condition("other", "Conflict")["status"] == "True")
        assert "churn" in site.condition("other", "Conflict")["message"]
        assert site.condition("churn", "Conflict")["status"] == "False"
        site.server.kubectl("delete", "sm", "churn", namespace=site.namespace)
        site.until_serving("other")
        assert site.catalog().models["churn"].versions["1"].source == "/m/3"


def test_a_slip_in_an_annotation_withdraws_nothing(site: ClusterSite) -> None:
    """What the API server cannot check is told, the last good specification stays, and putting it right ends it."""
    site.register("churn")
    with site.operator():
        site.serve("churn")
        site.until_serving("churn")
        site.annotate("sm", "churn", approve="2")
        site.until("it is told", lambda: site.condition("churn", "Conflict")["reason"] == "SpecInvalid")
        assert "names no digest" in site.condition("churn", "Conflict")["message"]
        assert site.routed("churn") == "1"
    site.server.kubectl("patch", "sm", "churn", "--subresource=status", "--type=merge", WIPED, namespace=site.namespace)
    with site.operator():  # a new one, which knows neither the specification nor the rollout
        site.until("it is told again", lambda: site.condition("churn", "Conflict")["reason"] == "SpecInvalid")
        assert site.routed("churn") == "1"
        site.server.kubectl("annotate", "sm", "churn", "fairlead.dev/approve-", namespace=site.namespace)
        site.until_serving("churn")
        site.until("it is well", lambda: site.condition("churn", "Conflict")["status"] == "False")


def test_what_no_pool_may_serve_is_told(site: ClusterSite) -> None:
    """A pool that is not there, or does not allow the namespace."""
    site.register("churn")
    pools = {"default": {**site.settings["pools"]["default"], "allowedNamespaces": ["another"]}}
    with site.operator(pools=pools):
        site.serve("churn")
        site.serve("fraud", model="churn", pool="gpu")
        site.until("it is told", lambda: "does not allow the namespace" in site.status("churn").get("reason", ""))
        site.until("it is told", lambda: "there is no pool 'gpu'" in site.status("fraud").get("reason", ""))
        assert site.condition("fraud", "Ready")["status"] == "False"


def test_a_person_applies_beside_the_operator(site: ClusterSite) -> None:
    """`kubectl apply` of the spec never conflicts with the status, and takes nothing of it away."""
    site.register("churn")
    with site.operator():
        site.serve("churn", model="churn", settings={"max_batch_size": 8})
        site.until_serving("churn")
        site.serve("churn", model="churn", settings={"max_batch_size": 16})
        site.until(
            "the setting is there",
            lambda: site.catalog().models["churn"].versions["1"].settings == {"max_batch_size": 16},
        )
        site.until("it is observed", lambda: site.status("churn")["observedGeneration"] == 2)
        found = site.server.kubectl(
            "get", "sm", "churn", "--show-managed-fields", "--output=json", namespace=site.namespace
        )
        assert '"manager": "fairlead-operator"' in found
        site.until_serving("churn")


def test_a_person_decides(site: ClusterSite) -> None:
    """A version that asks for approval waits for the annotation; a freeze on the Lease holds everything."""
    site.register("churn")
    with site.operator():
        site.serve("churn", model="churn", requireApproval=True)
        site.until("it waits", lambda: site.phase("churn") == "Approval")
        site.annotate("sm", "churn", approve=site.status("churn")["candidate"]["digest"])
        site.until_serving("churn", "1")
        site.annotate("lease", "f-operator", freeze="incident 7")
        site.registry.promote("churn", "2")
        site.until("it is told", lambda: "incident 7" in site.status("churn")["reason"])
        assert site.routed("churn") == "1"
        site.server.kubectl("annotate", "lease", "f-operator", "fairlead.dev/freeze-", namespace=site.namespace)
        site.until("it goes on", lambda: site.phase("churn") == "Approval")


def test_tagged_models_become_servedmodels(site: ClusterSite) -> None:
    """Made, labelled, and removed when three complete answers do not ask for it; a model that is gone is no removal."""
    site.register("churn", tagged=True)
    site.register("My Model", "/m/3", tagged=True)
    with site.operator(tags={"enabled": True, "namespace": site.namespace}):
        site.until("two are made", lambda: len(made(site)) == 2)
        site.until_serving("churn")
        name = next(name for name in made(site) if name != "churn")
        site.until_serving(name)
        assert site.found(name)["spec"]["servedName"] == "My Model"
        assert site.found("churn")["metadata"]["annotations"]["fairlead.dev/installation"] == "default"
        del site.registry.models["churn"].tags["fairlead.serve"]
        gone = site.registry.models.pop("My Model")
        site.until("one is removed", lambda: made(site) == [name])
        site.registry.models["My Model"] = gone
        site.until("churn is unloaded", lambda: site.routed("churn") == "")
        assert site.routed("My Model") == "1"


def test_a_changed_tag_changes_its_object(site: ClusterSite) -> None:
    """Also tags that were taken away; what was made with them keeps no trace."""
    site.register("churn", tagged=True)
    tags = site.registry.models["churn"].tags
    tags |= {"fairlead.hold": "5", "fairlead.settings.max_batch_size": "8"}
    with site.operator(tags={"enabled": True, "namespace": site.namespace}):
        site.until("it is made", lambda: made(site) == ["churn"])
        before = site.found("churn")
        assert (before["spec"]["holdSeconds"], before["spec"]["settings"]) == (5, {"max_batch_size": 8})
        del tags["fairlead.hold"], tags["fairlead.settings.max_batch_size"]
        tags["fairlead.alias"] = "live"
        site.until("it is changed", lambda: site.found("churn")["spec"]["alias"] == "live")
        assert not {"holdSeconds", "settings"} & set(site.found("churn")["spec"])
        assert site.found("churn")["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_change_is_meant_for_one_object_alone(site: ClusterSite) -> None:
    """An UID in a patch is a precondition: another object of that name stays as it is."""
    site.serve("churn")
    before = site.found("churn")

    async def change() -> None:
        server = await api.Api.connect(str(site.server.kubeconfig))
        try:
            await server.merge(
                api.served_models(site.namespace, "churn"), {"metadata": {"uid": "another"}, "spec": {"alias": "live"}}
            )
        finally:
            await server.close()

    with pytest.raises(api.ApiFault, match=r"(?i)uid"):
        asyncio.run(change())
    assert site.found("churn") == before


def made(site: ClusterSite) -> list[str]:
    said = site.server.kubectl(
        "get", "sm", "-l", "fairlead.dev/from-registry=true", "--output=jsonpath={.items[*].metadata.name}",
        namespace=site.namespace,
    )  # fmt: skip
    return sorted(said.split())
