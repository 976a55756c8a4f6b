"""The harness itself: what the other tests against an API server rely on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from kube.api_server import ApiServer, Refused
from kube.namespaces import make_namespace, remove_namespace


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def watched(server: ApiServer, namespace: str, since: str) -> list[dict[str, Any]]:
    """What a watch from this resource version tells until it has heard three seconds of nothing."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    query = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "3"}
    return [json.loads(line) for line in server.http.get(path, params=query).raise_for_status().text.splitlines()]


def test_objects_are_stored_and_validated(api_server: ApiServer, namespace: str) -> None:
    """What was applied is read back, and a kind that does not exist is refused."""
    api_server.apply(config_map(namespace, "it", a="1"))
    found = api_server.get("configmap", "it", namespace)
    assert found["data"] == {"a": "1"}
    assert found["metadata"]["managedFields"][0]["manager"] == "test"
    with pytest.raises(Refused, match="no matches for kind"):
        api_server.apply({"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "it"}})


def test_the_objects_and_the_address_survive_a_restart(api_server: ApiServer, namespace: str) -> None:
    """Whoever lists anew after it has everything, and its watch from there misses nothing."""
    api_server.apply(config_map(namespace, "it", a="1"))
    api_server.restart()
    listed = api_server.http.get(f"/api/v1/namespaces/{namespace}/configmaps").raise_for_status().json()
    assert [one["data"] for one in listed["items"]] == [{"a": "1"}]
    api_server.apply(config_map(namespace, "it", a="2"))
    events = watched(api_server, namespace, listed["metadata"]["resourceVersion"])
    assert [(event["type"], event["object"]["data"]) for event in events] == [("MODIFIED", {"a": "2"})]


def test_a_killed_server_ends_its_watches(api_server: ApiServer, namespace: str) -> None:
    """Whoever watches hears of it at once, and is let in again when the server is back."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with api_server.http.stream("GET", path, params={"watch": "true"}) as answer:
        assert answer.is_success
        api_server.kill()
        with pytest.raises(httpx.TransportError):
            answer.read()
    with pytest.raises(httpx.TransportError):
        api_server.http.get("/readyz")
    api_server.start()
    assert api_server.http.get(path).is_success


def test_what_was_compacted_is_gone(api_server: ApiServer, namespace: str) -> None:
    """A list at a revision that etcd has forgotten is told to begin anew."""
    api_server.apply(config_map(namespace, "it", a="1"))
    old = api_server.get("configmap", "it", namespace)["metadata"]["resourceVersion"]
    api_server.apply(config_map(namespace, "it", a="2"))
    assert api_server.compact() > int(old)
    api_server.restart()  # its own cache remembers longer than etcd
    query = {"resourceVersion": old, "resourceVersionMatch": "Exact"}
    answer = api_server.http.get(f"/api/v1/namespaces/{namespace}/configmaps", params=query)
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


def test_rbac_refuses_what_was_not_granted(api_server: ApiServer, namespace: str) -> None:
    """A service account may do what a role says, by impersonation and by its own token, and no more."""
    meta = {"name": "reader", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    api_server.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
        },
    )
    user = f"system:serviceaccount:{namespace}:reader"
    assert api_server.kubectl("get", "configmaps", namespace=namespace, user=user) == ""
    with pytest.raises(Refused, match="forbidden"):
        api_server.kubectl("get", "secrets", namespace=namespace, user=user)
    own = f"--kubeconfig={api_server.kubeconfig_of(namespace, 'reader')}"
    assert api_server.kubectl("get", "configmaps", own) == ""
    with pytest.raises(Refused, match="forbidden"):
        api_server.kubectl("get", "configmaps", "--all-namespaces", own)


def test_a_removed_namespace_is_gone_with_what_it_held(api_server: ApiServer) -> None:
    """Also with an object that waits for a finalizer, which nobody here would ever take away."""
    make_namespace(api_server.http, "short-lived")
    held = config_map("short-lived", "held")
    held["metadata"]["finalizers"] = ["example.com/never"]
    api_server.apply(held)
    remove_namespace(api_server.http, "short-lived")
    assert api_server.http.get("/api/v1/namespaces/short-lived").status_code == 404
    make_namespace(api_server.http, "short-lived")
    assert api_server.kubectl("get", "configmaps", namespace="short-lived") == ""
    remove_namespace(api_server.http, "short-lived")


def test_the_definitions_of_others_are_served(kuberay: ApiServer, gateway_api: ApiServer, namespace: str) -> None:
    """KubeRay's and the Gateway API's schemas judge what is applied."""
    served = kuberay.kubectl("api-resources", "--output=name").split()
    assert {"rayservices.ray.io", "rayclusters.ray.io"} <= set(served)
    assert {"httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io"} <= set(served)
    wrong = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "it", "namespace": namespace}}
    with pytest.raises(Refused, match="rayClusterConfig"):
        gateway_api.apply({**wrong, "spec": {"rayClusterConfig": 1}})
