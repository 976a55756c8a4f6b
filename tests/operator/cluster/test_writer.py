"""Statuses out: only what differs, the newest, and one bad object holds up no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from fairlead_operator.cluster import api, writer
from fairlead_operator.cluster.objects import Objects
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.cluster.writer import StatusWriter


class Site:
    """ServedModels a, b and c on a stand-in for the API server, whose writes come back at once."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.doubts = 0
        self.objects = Objects("champion", lambda: None, self._doubted)
        self.active = True
        for name in "abc":
            metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
            body = {"apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel", "metadata": metadata, "spec": {}}
            asyncio.run(self.api.create(api.served_models("ns"), body))
            self.objects.put(self.api.objects[self.path(name)])

    def _doubted(self) -> None:
        self.doubts += 1

    def path(self, name: str) -> str:
        return api.served_models("ns", name)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[self.path(name)].get("status", {})
        return found

    def run(self, story: Callable[[StatusWriter], Any]) -> StatusWriter:
        async def main() -> StatusWriter:
            statuses = StatusWriter(self.api, self.objects, lambda: self.active)
            task = asyncio.create_task(statuses.run())
            await story(statuses)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return statuses

        return asyncio.run(main())


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(writer, "EACH_S", 0.05)
    monkeypatch.setattr(writer, "PER_SECOND", 1000.0)
    return Site()


async def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_the_newest_is_written_once(site: Site) -> None:
    """Of many in a burst the last, and nothing where it is there already."""

    async def story(statuses: StatusWriter) -> None:
        for n in range(100):
            statuses.want("ns/a", {"phase": str(n)})
        await until(lambda: site.status("a") == {"phase": "99"})
        for _ in range(10):
            statuses.want("ns/a", {"phase": "99"})
            await asyncio.sleep(0.02)

    assert site.run(story).writes == 1


def test_what_somebody_takes_away_is_written_again(site: Site) -> None:
    """A wiped status."""

    async def story(statuses: StatusWriter) -> None:
        statuses.want("ns/a", {"phase": "Serving"})
        await until(lambda: site.status("a"))
        site.api.edit(site.path("a"), status={})
        site.objects.put(site.api.objects[site.path("a")])
        statuses.want("ns/a", {"phase": "Serving"})
        await until(lambda: site.status("a") == {"phase": "Serving"})

    assert site.run(story).writes == 2


def test_what_the_api_server_makes_of_it_is_no_difference(site: Site) -> None:
    """A field that its schema does not keep would otherwise be written for ever."""

    async def pruned(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await FakeApi.apply(site.api, path, {**body, "status": {"phase": body["status"]["phase"]}})

    site.api.apply = pruned  # type: ignore[method-assign]

    async def story(statuses: StatusWriter) -> None:
        for _ in range(20):
            statuses.want("ns/a", {"phase": "Serving", "unknown": 1})
            await asyncio.sleep(0.02)

    assert site.run(story).writes == 1


def test_one_that_cannot_be_written_holds_up_no_other(site: Site) -> None:
    """It waits by itself, and is told once; in the end it is written too."""
    site.api.refuse[site.path("a") + "/status"] = api.ApiFault(500, "InternalError", "a webhook says no")

    async def story(statuses: StatusWriter) -> None:
        for name in "abc":
            statuses.want(f"ns/{name}", {"phase": "Serving"})
        await until(lambda: site.status("b") and site.status("c"))
        assert statuses.failing() == 1
        site.api.refuse.clear()
        await until(lambda: site.status("a"))
        assert statuses.failing() == 0

    site.run(story)


def test_an_answer_after_the_removal_brings_nothing_back(site: Site) -> None:
    """The watch tells of it while the write is under way."""
    apply = site.api.apply

    async def late(path: str, body: dict[str, Any]) -> dict[str, Any]:
        found = await apply(path, body)
        site.objects.event("DELETED", site.api.objects.pop(site.path("a")))
        return found

    site.api.apply = late  # type: ignore[method-assign]

    async def story(statuses: StatusWriter) -> None:
        statuses.want("ns/a", {"phase": "Serving"})
        await until(lambda: statuses.writes)

    site.run(story)
    assert set(site.objects.known) == {"ns/b", "ns/c"}


@pytest.mark.parametrize("made_anew", [False, True])
def test_one_that_seems_to_be_gone_is_looked_for(site: Site, made_anew: bool) -> None:
    """The watch has not told; and it is written no more often than any other."""
    body = site.api.objects.pop(site.path("a"))
    if made_anew:
        body = {**body, "metadata": {**body["metadata"], "uid": "new"}}
        asyncio.run(site.api.create(api.served_models("ns"), body))
    site.api.calls.clear()

    async def story(statuses: StatusWriter) -> None:
        began = time.monotonic()
        while time.monotonic() < began + 0.2:
            statuses.want("ns/a", {"phase": "Serving"})
            await asyncio.sleep(0.002)

    site.run(story)
    assert site.doubts > 0
    assert site.api.calls["PATCH"] < 10
    assert site.status("a") == {} if made_anew else "ns/a" in site.objects.known


def test_nothing_is_written_without_the_lease(site: Site) -> None:
    """Not even what was waiting."""
    site.active = False

    async def story(statuses: StatusWriter) -> None:
        statuses.want("ns/a", {"phase": "Serving"})
        await asyncio.sleep(0.1)

    assert site.run(story).writes == 0
    assert site.status("a") == {}


def test_an_object_that_is_gone_is_forgotten(site: Site) -> None:
    """Its status is wanted no more, and nothing of it is kept."""

    async def story(statuses: StatusWriter) -> None:
        statuses.want("ns/a", {"phase": "Serving"})
        await until(lambda: site.status("a"))
        site.objects.filled([], 10**9)
        statuses.forget()
        statuses.want("ns/a", {"phase": "Waiting"})
        assert statuses.waiting() == 0
        assert statuses._applied == {}

    site.run(story)
