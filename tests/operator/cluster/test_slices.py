"""Control addresses from EndpointSlices: every endpoint, ready or not, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead_operator.cluster import api, slices
from fairlead_operator.cluster.slices import SliceFleet, addresses
from fairlead_operator.cluster.testing import FakeApi


def piece(*hosts: str, ports: Any = None, ready: bool = True) -> dict[str, Any]:
    ends = [{"addresses": [host], "conditions": {"ready": ready}} for host in hosts]
    return {"endpoints": ends, "ports": ports}


def test_ready_or_not_and_each_once() -> None:
    """A pod may stand in two slices while they are being divided."""
    found = addresses([piece("10.0.0.2", "10.0.0.1"), piece("10.0.0.1", ready=False)], 8003)
    assert found == ("http://10.0.0.1:8003", "http://10.0.0.2:8003")


def test_the_slice_names_the_port() -> None:
    """By its name; other ports are not ours."""
    ports = [{"name": "http", "port": 8000}, {"name": "control", "port": 9003}]
    assert addresses([piece("10.0.0.1", ports=ports)], 8003) == ("http://10.0.0.1:9003",)
    assert addresses([piece("10.0.0.1", ports=ports[:1])], 8003) == ("http://10.0.0.1:8003",)


def test_an_address_of_the_sixth_version_has_brackets() -> None:
    """And an empty slice has no endpoints at all, not even an empty list."""
    assert addresses([piece("fd00::1"), {"endpoints": None, "ports": None}], 8003) == ("http://[fd00::1]:8003",)


class Restarting(FakeApi):
    """Refuses the first lists, then breaks each watch."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals
        self.lists: list[float] = []

    async def listed(self, path: str, accept: str = api.JSON, *, newest: bool = False, **query: str) -> api.Object:
        self.lists.append(time.monotonic())
        if len(self.lists) <= self._refusals:
            raise api.ApiFault(0, "NoAnswer", "connection refused")
        return await super().listed(path, accept, newest=newest, **query)

    async def watch(self, path: str, since: str, **query: str) -> AsyncIterator[tuple[str, api.Object]]:
        raise api.ApiFault(0, "NoAnswer", "the watch broke")
        yield "", {}


def test_what_failed_before_the_list_slows_nothing_after_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An API server that restarts refuses a while; later breaks of the watch are not waited for as long. Each
    trouble is told once."""
    monkeypatch.setattr(slices, "AGAIN_S", 0.02)
    server = Restarting(6)

    async def main() -> None:
        fleet = SliceFleet(server, "n", "s", 8003, lambda: None)
        running = asyncio.create_task(fleet.run())
        async with asyncio.timeout(30):
            while len(server.lists) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await fleet.close()

    asyncio.run(main())
    pauses = [after - before for before, after in zip(server.lists, server.lists[1:], strict=False)]
    assert max(pauses[:6]) > 0.6
    assert max(pauses[6:]) < 0.6
    said = capfd.readouterr().err
    assert (said.count("connection refused"), said.count("the watch broke")) == (1, 1)
