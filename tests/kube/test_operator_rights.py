"""The rights that cluster/README.md lists are enough: the operator runs as a service account that has no others."""

from __future__ import annotations

from typing import Any

from kube.api_server import ApiServer
from kube.cluster_site import DEFINITION, ClusterSite


def rule(group: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return {**found, "resourceNames": list(names)} if names else found


RULES = [
    rule("fairlead.dev", "servedmodels", "get", "list", "watch"),
    rule("fairlead.dev", "servedmodels/status", "patch"),
    rule("", "events", "create", "patch"),
    rule("fairlead.dev", "servedmodels", "create", "patch", "delete"),
    rule("", "configmaps", "create"),
    rule("", "configmaps", "get", "update", names=("f-default-catalog",)),
    rule("discovery.k8s.io", "endpointslices", "list", "watch"),
    rule("coordination.k8s.io", "leases", "create"),
    rule("coordination.k8s.io", "leases", "get", "update", names=("f-operator",)),
]


def test_the_listed_rights_are_enough(api_server: ApiServer, namespace: str) -> None:
    """From a tag to a served model, to a promotion, to its removal; nothing was refused."""
    api_server.install(DEFINITION)
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    metadata = {"name": "operator", "namespace": namespace}
    api_server.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": RULES},
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": metadata, "subjects": [subject],
         "roleRef": {"apiGroup": api, "kind": "Role", "name": "operator"}},
    )  # fmt: skip
    site = ClusterSite(api_server, namespace)
    site.register("churn", tagged=True)
    kubeconfig = api_server.kubeconfig_of(namespace, "operator")
    with site.operator(kubeconfig, tags={"enabled": True, "namespace": namespace}) as running:
        site.until_serving("churn")
        site.registry.promote("churn", "2")
        site.until_serving("churn", "2")
        said = api_server.kubectl("get", "events", "--output=jsonpath={.items[*].reason}", namespace=namespace)
        assert "Switched" in said
        del site.registry.models["churn"].tags["fairlead.serve"]
        site.until("it is unloaded", lambda: all("churn" not in one.catalog.models for one in site.replicas.values()))
        assert running.operator._session is not None
        assert running.operator._session.recorder.dropped == 0
