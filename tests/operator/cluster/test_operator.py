"""The operator put together: what it believes of lists and of answers that come late."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

from fairlead_operator import config
from fairlead_operator.cluster import api
from fairlead_operator.cluster.operator import Operator
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.testing import FakeRegistry

CONFIG = config.parse(
    {
        "registry": {"uri": "http://mlflow"},
        "pools": {"default": {"namespace": "n", "service": "s", "catalog": "c"}},
        "watchNamespaces": ["ns"],
        "lease": {"namespace": "n", "name": "l"},
    }
)


class Silent:
    """No kopf: the test tells what the watch would."""

    def __init__(self) -> None:
        self.begun_anew = 0

    def start(self) -> None:
        pass

    def again(self) -> None:
        self.begun_anew += 1


class Site:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.handlers = Silent()

    def serve(self, name: str, **metadata: Any) -> dict[str, Any]:
        body = {
            "apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel",
            "metadata": {"name": name, "namespace": "ns", **metadata}, "spec": {"model": name},
        }  # fmt: skip
        return asyncio.run(self.api.create(api.served_models("ns"), body))

    def run(self, story: Callable[[Operator], Awaitable[None]]) -> set[str]:
        """The names that are known after it."""

        async def main() -> set[str]:
            running = Operator(CONFIG, self.api, FakeRegistry(), None)
            running._handlers = self.handlers  # type: ignore[assignment]
            await running._fill()
            await story(running)
            for fleet in running._fleets.values():
                await fleet.close()
            return {one.name for one in running.objects.known.values()}

        return asyncio.run(main())


async def nothing(_: Operator) -> None:
    pass


def test_a_cache_that_lags_behind_is_no_proof_of_absence() -> None:
    """At the start all that is not listed is unloaded: it is read from etcd."""
    site = Site()
    site.serve("old")
    site.api.cached = copy.deepcopy(site.api.objects)
    site.serve("new")
    assert site.run(nothing) == {"old", "new"}


def test_what_is_removed_while_it_is_read_does_not_come_back() -> None:
    """A check misses one and asks for it; the watch tells of its removal before the answer does of its life."""
    site = Site()

    async def story(running: Operator) -> None:
        await asyncio.to_thread(site.serve, "late")
        get = site.api.get

        async def slow(path: str, **query: str) -> api.Object:
            found = await get(path, **query)
            running._seen("DELETED", site.api.objects.pop(path))
            return found

        site.api.get = slow  # type: ignore[method-assign]
        await running._check()

    assert site.run(story) == set()


def test_one_that_waits_for_a_finalizer_is_not_read_again_and_again() -> None:
    """It is in every list; the watch is left as it is."""
    site = Site()
    site.serve("it", deletionTimestamp="2026-01-02T00:00:00Z", finalizers=["example.com/never"])

    async def story(running: Operator) -> None:
        site.api.calls.clear()
        await running._check()
        assert site.api.calls == {"GET": 1}

    assert site.run(story) == set()
    assert site.handlers.begun_anew == 0


def test_who_doubts_an_object_has_the_list_looked_at() -> None:
    """A write that found none, say."""

    async def story(running: Operator) -> None:
        running.objects.doubted()
        assert running._recheck.is_set()

    Site().run(story)
