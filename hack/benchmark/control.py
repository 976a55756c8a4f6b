"""Fairlead's control API as measures use it: documents with versions and routes, PUT, and waiting for what they ask."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmark.processes import SubjectFailed
from benchmark.subjects.fairlead import Replica

PUT_S = 30.0
LOOK_S = 0.5
Versions = Mapping[str, Path]  # folders by version
Entry = Mapping[str, Any]


def entry(versions: Versions, route: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All requests go to the version `route`."""
    held = {name: {"source": folder.resolve().as_uri(), "settings": settings} for name, folder in versions.items()}
    return {"versions": held, "route": {"weights": {route: 1.0}}}


def document(generation: int, models: Mapping[str, Entry]) -> bytes:
    whole = {"apiVersion": "fairlead.dev/catalog/v1", "generation": generation, "models": models}
    return msgspec.json.encode(whole)


def put(replica: Replica, data: bytes) -> None:
    """Returns when the document is stored. By the standard library, whose client takes no time to be made."""
    with contextlib.closing(http.client.HTTPConnection(replica.control, timeout=PUT_S)) as connection:
        connection.request("PUT", "/control/catalog", data)
        response = connection.getresponse()
        said = response.read()
    if response.status != 200:
        raise SubjectFailed(f"status {response.status} for a catalog: {said[:500]!r}")


def until(replica: Replica, what: str, holds: Callable[[Mapping[str, Any]], bool], limit_s: float) -> None:
    """Ask for the status until it holds. Raises SubjectFailed."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if holds(replica.status()):
            return
        time.sleep(LOOK_S)
    raise SubjectFailed(f"{what} took longer than {limit_s:.0f} s")


def all_applied(generation: int) -> Callable[[Mapping[str, Any]], bool]:
    """Whether every model's newest entry is in effect in every worker that accepts."""

    def holds(status: Mapping[str, Any]) -> bool:
        models: Sequence[Mapping[str, Any]] = list(status["models"].values())
        return status["generation"] >= generation and all(model["applied"] >= generation for model in models)

    return holds


def accepting(workers: int) -> Callable[[Mapping[str, Any]], bool]:
    """Whether so many workers accept, and there are no others."""
    return lambda status: [worker["state"] for worker in status["workers"]] == ["accepting"] * workers
