"""A namespace per test on an API server that has no controllers: what the namespace controller would do at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE = {"content-type": "application/merge-patch+json"}


def make_namespace(http: httpx.Client, name: str, labels: Mapping[str, str] | None = None) -> None:
    metadata = {"name": name, "labels": dict(labels or {})}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    http.post("/api/v1/namespaces", json=body).raise_for_status()


def remove_namespace(http: httpx.Client, name: str) -> None:
    """With all that is in it, also what waits for a finalizer: nobody else would ever remove it."""
    for place in _collections(http, name):
        answer = http.delete(place)
        for one in _items(answer):
            if one["metadata"].get("finalizers"):
                http.patch(f"{place}/{one['metadata']['name']}", json={"metadata": {"finalizers": None}}, headers=MERGE)
    http.delete(f"/api/v1/namespaces/{name}").raise_for_status()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}}
    http.put(f"/api/v1/namespaces/{name}/finalize", json=body).raise_for_status()


def _collections(http: httpx.Client, namespace: str) -> Iterator[str]:
    """The paths of all collections that can be emptied at once."""
    for root in ("/api", "/apis"):
        for group in http.get(root, headers={"accept": DISCOVERY}).raise_for_status().json()["items"]:
            version = group["versions"][0]  # the preferred one; the others are the same objects
            place = "/".join(part for part in (root, group["metadata"].get("name"), version["version"]) if part)
            for resource in version.get("resources") or ():
                if resource["scope"] == "Namespaced" and "deletecollection" in resource["verbs"]:
                    yield f"{place}/namespaces/{namespace}/{resource['resource']}"


def _items(answer: httpx.Response) -> list[dict[str, Any]]:
    return list(answer.json().get("items") or ()) if answer.is_success else []
