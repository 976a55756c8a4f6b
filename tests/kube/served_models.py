"""ServedModels as tests write them to an API server, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
from kube.api_server import ApiServer, Refused

DIGEST = "sha256:" + "0" * 64
GROUP = "fairlead.dev"
MERGE = {"content-type": "application/merge-patch+json"}
SOON_S = 120.0  # what is established is told to clients a little later

STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Loading",
    "reason": "version 4 is on trial in replica a:8003",
    "servedName": "churn",
    "pool": "default",
    "stable": {"version": "3", "digest": DIGEST},
    "candidate": {"version": "4"},
    "weights": {"3": 100, "4": 0},
    "step": "proving",
    "replicas": {"ready": 2, "total": 2},
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Loading",
            "message": "version 4 is on its way",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ],
    "lastVerdict": {"result": "Pass", "version": "3", "reason": "ready", "time": "2026-01-01T00:00:00Z"},
    "memory": {"candidate": {"ranks": {"a:8003": 3}}, "refusals": []},
}


def model(name: str = "churn", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel", "metadata": {"name": name}, "spec": spec}


def place(namespace: str, name: str = "", group: str = GROUP) -> str:
    return f"/apis/{group}/v1alpha1/namespaces/{namespace}/servedmodels/{name}".rstrip("/")


def create(server: ApiServer, namespace: str, document: dict[str, Any], group: str = GROUP) -> dict[str, Any]:
    """As kubectl does it: a field that is not known is an error."""
    answer = server.http.post(place(namespace, group=group), json=document, params={"fieldValidation": "Strict"})
    return told(answer)


def patch(server: ApiServer, path: str, change: dict[str, Any]) -> dict[str, Any]:
    return told(server.http.patch(path, json=change, headers=MERGE, params={"fieldValidation": "Strict"}))


def told(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    if not answer.is_success:
        raise Refused(found["message"])
    return found


def soon(holds: Callable[[], str], wanted: str) -> None:
    """Until it says so."""
    end = time.monotonic() + SOON_S
    said = ""
    while wanted not in said:
        assert time.monotonic() < end, f"{wanted!r} is not in:\n{said}"
        try:
            said = holds()
        except Refused as error:
            said = str(error)
        time.sleep(0.1)
