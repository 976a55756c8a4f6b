"""A supervisor inside the test, with scripted or real children, on free ports; and what tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from fairlead_server.models.status import Status, VersionStatus
from fairlead_server.settings import Drain, ReplicaSettings
from fairlead_server.supervisor.blocks import take_home
from fairlead_server.supervisor.main import Supervisor
from fairlead_server.supervisor.times import Times

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_child.py")))
QUICK = Times(
    tick=0.02, poll=0.05, scan=0.1, waiting=0.4, hello=10.0, stuck=1.0, trial=4.0, retry=0.1, crash=0.1, ports=1.0
)


def settings(state: Path, **more: Any) -> ReplicaSettings:
    ports = dict.fromkeys(("http_port", "grpc_port", "metrics_port", "control_port"), 0)
    return ReplicaSettings(**{"state_dir": str(state), "drain": Drain(0.0, 5.0, 0.1), "cores": 1, **ports, **more})


@contextlib.asynccontextmanager
async def replica(
    state: Path, times: Times = QUICK, command: tuple[str, ...] = SCRIPTED, **more: Any
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(take_home(settings(state, **more), times.ports), times, command)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


def document(generation: int, models: dict[str, dict[str, str]], owner: str = "me", **routes: str) -> bytes:
    """`models` maps names to versions to sources; the route is to the version in `routes`, or the last one."""
    entries = {
        model: {
            "versions": {version: {"source": source} for version, source in versions.items()},
            "route": {"weights": {routes.get(model, list(versions)[-1]): 1.0}},
        }
        for model, versions in models.items()
    }
    head = {"apiVersion": "fairlead.dev/catalog/v1", "generation": generation, "owner": owner}
    return json.dumps({**head, "models": entries}).encode()


async def until(what: str, look: Callable[[], Any], limit_s: float = 8.0) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"after {limit_s} s still waiting for {what}")


def version(status: Status, model: str, name: str) -> VersionStatus | None:
    held = status.models.get(model)
    return held.versions.get(name) if held is not None else None


async def state(supervisor: Supervisor, model: str, name: str, wanted: str) -> VersionStatus:
    def look() -> VersionStatus | None:
        held = version(supervisor.status(), model, name)
        return held if held is not None and held.state == wanted else None

    found: VersionStatus = await until(f"{model} {name} to be {wanted}", look)
    return found


async def ready(supervisor: Supervisor) -> None:
    await until("the replica to be ready", lambda: not supervisor.not_ready())


async def get(supervisor: Supervisor, port: str, path: str = "/", **more: Any) -> httpx.Response:
    """A request on a connection of its own."""
    number = getattr(supervisor.settings, f"{port}_port")
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.request(more.pop("method", "GET"), f"http://127.0.0.1:{number}{path}", **more)
