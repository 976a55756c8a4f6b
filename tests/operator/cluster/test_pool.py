"""One pool: what it remembers lies in the statuses, and a step that cannot be stored is told to whom it was for."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import loopback
import msgspec
import pytest

from fairlead_operator import config, status
from fairlead_operator.cluster import api, carrier, pool
from fairlead_operator.cluster.events import Recorder
from fairlead_operator.cluster.objects import Objects
from fairlead_operator.cluster.pool import Pool, StatusRecords
from fairlead_operator.cluster.slices import SliceFleet
from fairlead_operator.cluster.statuses import Statuses
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.cluster.writer import StatusWriter
from fairlead_operator.documents import Catalog, read_catalog
from fairlead_operator.report import RegistrySight
from fairlead_operator.sharing import Note
from fairlead_operator.sightings import chooser
from fairlead_operator.spec import Tags
from fairlead_operator.state import Phase
from fairlead_operator.testing import Artifact, FakeRegistry, FakeReplica, digest_of

CONFIG = config.parse(
    {
        "registry": {"uri": "http://mlflow", "intervalSeconds": 0.1},
        "pools": {"default": {"namespace": "n", "service": "s", "catalog": "c", "allowedNamespaces": ["ns"]}},
        "lease": {"namespace": "n", "name": "l"},
    }
)
CATALOG = api.config_maps("n", "c")
WELL = RegistrySight(1.0, 0.0, "")


class Network(httpx.AsyncBaseTransport):
    def __init__(self, replica: FakeReplica) -> None:
        self._handle = loopback.control(replica, 0.01)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        code, data = self._handle(request.method, request.url.path, {}, await request.aread())
        return httpx.Response(code, content=data, request=request)


class Site:
    """Two models, a replica, and a pool that is run until something is so."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.objects = Objects("champion", lambda: None)
        self.objects.filled([], 0)
        self.registry = FakeRegistry()
        for name in ("churn", "fraud"):
            self.registry.register(name, "/m/1", serve=False)
            self.registry.promote(name, "1")
        self.replica = FakeReplica({"/m/1": Artifact("1")}, "r")

    def serve(self, name: str, namespace: str = "ns", **fields: Any) -> None:
        path = api.served_models(namespace, name)
        metadata = {"name": name, "namespace": namespace, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
        body = {"apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel", "spec": {"model": name}, **fields}
        if path in self.api.objects:
            self.api.edit(path, **fields)
        else:
            asyncio.run(self.api.create(api.served_models(namespace), {**body, "metadata": metadata}))
        self.objects.put(self.api.objects[path])

    def delete(self, name: str, namespace: str = "ns") -> None:
        self.objects.event("DELETED", self.api.objects.pop(api.served_models(namespace, name)))

    def older(self, name: str, namespace: str = "ns") -> dict[str, Any]:
        metadata = self.api.objects[api.served_models(namespace, name)]["metadata"]
        return {**metadata, "creationTimestamp": "2025-01-01T00:00:00Z"}

    def catalog(self) -> Catalog:
        return read_catalog(carrier.unpack(base64.b64decode(self.api.objects[CATALOG]["binaryData"][carrier.KEY])))

    def status(self, name: str, namespace: str = "ns") -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.api.objects[api.served_models(namespace, name)].get("status", {})
        return found

    def run(self, look: Callable[[Pool], object], limit_s: float = 20.0) -> Pool:
        async def main() -> Pool:
            fleet = SliceFleet(self.api, "n", "s", 8003, lambda: None, transport=Network(self.replica))
            fleet.addresses, fleet.complete = ("http://10.0.0.1:8003",), True
            running = Pool("default", CONFIG, self.api, self.objects, fleet, lambda: True)
            writer = StatusWriter(self.api, self.objects, lambda: True)
            statuses = Statuses(CONFIG, self.objects, writer, Recorder(self.api, "me", lambda: True))

            def published(one: Pool) -> None:
                statuses.publish(one, WELL, time.time())
                statuses.publish_others(WELL, time.time())
                holders, claims = one.holders(), one.claims()
                names = {claim.model for claim in claims.served} | set(holders.values())
                snapshot = self.registry.snapshot(names, chooser(Tags(), "champion", claims.served))
                one.heard(claims, snapshot, holders)

            tasks = [asyncio.create_task(running.run(lambda: "", published)), asyncio.create_task(writer.run())]
            async with asyncio.timeout(limit_s):
                while not look(running):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await fleet.close()
            return running

        return asyncio.run(main())

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", ""))

    def condition(self, name: str, kind: str) -> str:
        return next((one["status"] for one in self.status(name).get("conditions", ()) if one["type"] == kind), "")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(pool, "MOVING_S", 0.02)
    monkeypatch.setattr(pool, "LASTING_S", 0.1)
    monkeypatch.setattr(pool, "SLOWEST_S", 0.2)
    return Site()


def test_the_memory_is_the_status(site: Site) -> None:
    """A new operator goes on where the last one stood; what is no memory is as good as lost."""
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    remembered = StatusRecords(site.objects, "default").load()
    assert remembered["churn"].phase is Phase.SERVING
    assert remembered["churn"].stable == "1"
    assert StatusRecords(site.objects, "another").load() == {}
    site.serve("churn", status={**site.status("churn"), "memory": {"served": 5}})
    assert StatusRecords(site.objects, "default").load() == {}


def test_another_models_object_of_the_same_name_begins_anew(site: Site) -> None:
    """Deleted and made anew while no operator was active: the version numbers mean other files. The name's files are
    the other model's, and the registry is told of the first one's."""
    site.replica.world["/m/2"] = Artifact("2")
    site.registry.register("other", "/m/2", serve=False)
    site.registry.promote("other", "1")
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    site.delete("churn")
    site.serve("churn", spec={"model": "other"})
    said: set[tuple[str, str, str]] = set()

    def look(running: Pool) -> bool:
        said.update((one.model, one.version, one.wanted.status) for one in running.said())
        for one in running.said():
            running.told(Note(one.pool, one.key, one.version, "status", one.wanted.status))
            running.told(Note(one.pool, one.key, one.version, "digest", one.wanted.digest))
        return site.phase("churn") == "Serving"

    site.run(look)
    assert site.replica.catalog.models["churn"].versions["1"].digest == digest_of("2")
    assert ("churn", "1", "retired") in said
    assert not {one for one in said if one[:2] == ("other", "1") and one[2].startswith("retired")}


def test_a_deletion_is_told_by_whoever_comes_after(site: Site) -> None:
    """The object is gone with its memory, and the operator ended before the registry could be told: what it was to be
    told lies with the catalog, until it is told."""
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    site.delete("churn")
    site.run(lambda _: site.catalog().models == {})
    assert site.catalog().retired["churn"].model == "churn"

    def look(running: Pool) -> bool:
        for one in running.said():
            told.append((one.model, one.version, one.wanted.status))
            running.told(Note(one.pool, one.key, one.version, "status", one.wanted.status))
            running.told(Note(one.pool, one.key, one.version, "digest", one.wanted.digest))
        return site.catalog().retired == {}

    told: list[tuple[str, str, str]] = []
    site.run(look)
    assert set(told) == {("churn", "1", "retired")}
    told.clear()
    site.run(lambda running: running.steps > 2)
    assert told == []


def test_who_serves_keeps_the_name_without_its_memory(site: Site) -> None:
    """Restored from a backup, objects have no status and any age: the catalog says whose model has the name."""
    site.serve("churn", spec={"model": "churn", "servedName": "shared"})
    site.run(lambda _: site.phase("churn") == "Serving")
    site.serve("churn", status={})
    site.serve("another", spec={"model": "fraud", "servedName": "shared"})
    site.api.edit(api.served_models("ns", "another"), metadata=site.older("another"))
    site.objects.put(site.api.objects[api.served_models("ns", "another")])
    before = site.catalog()
    site.run(lambda _: site.phase("churn") == "Serving" and site.phase("another") == "Conflict")
    assert site.catalog() == before


def test_a_loser_is_not_remembered_as_the_holder(site: Site) -> None:
    """Nor a memory that somebody copied from another object."""
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    site.serve("copy", status=dict(site.status("churn")))
    assert list(StatusRecords(site.objects, "default").load()) == ["churn"]
    assert StatusRecords(site.objects, "default").load()["churn"].spec.ref == "ns/churn"


def test_those_that_needed_the_write_say_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large: the new one has the condition, the other serves on and is promoted; with room the new one serves."""
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    monkeypatch.setattr(carrier, "LARGEST", 10)
    site.serve("fraud")
    site.run(lambda _: site.condition("fraud", "CatalogTooLarge") == "True")
    assert site.condition("churn", "CatalogTooLarge") == ""
    assert site.condition("churn", "Ready") == "True"
    assert "serve fewer models" in site.status("fraud")["reason"]
    monkeypatch.undo()
    site.run(lambda _: site.phase("fraud") == "Serving")
    assert site.condition("fraud", "CatalogTooLarge") == ""


def test_one_too_many_stops_no_promotion(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool is full for a new model, and not for a new version of one that it has; a deletion makes room."""
    site.replica.world |= {f"/m/{name}": Artifact(name) for name in ("2", "large")}
    site.registry.register("churn", "/m/2", serve=False)
    site.serve("churn")
    found = site.run(lambda _: site.phase("churn") == "Serving")
    monkeypatch.setattr(carrier, "LARGEST", found.carrier.bytes + 400)
    large = random.Random(1).randbytes(400).hex()
    site.serve("fraud", spec={"model": "fraud", "settings": {"note": large}})
    site.registry.promote("churn", "2")
    site.run(lambda _: site.condition("fraud", "CatalogTooLarge") == "True" and site.phase("churn") == "Holding")
    assert site.status("churn")["stable"]["version"] == "2"
    assert site.condition("churn", "Ready") == "True"
    assert site.condition("fraud", "Ready") == "False"
    site.serve("fraud", spec={"model": "fraud"})
    site.run(lambda _: site.phase("fraud") == "Serving")


def test_an_api_server_that_is_away_is_told_when_it_is_back(site: Site) -> None:
    """Nothing is stored meanwhile, and the step after it is as if nothing had been."""
    site.serve("churn")
    site.api.refuse[api.config_maps("n", "c")] = api.ApiFault(403, "Forbidden", "not yours")
    found = site.run(lambda _: site.condition("churn", "CatalogNotStored") == "True")
    assert found.trouble is not None
    assert "not yours" in found.trouble.why
    site.api.refuse.clear()
    site.run(lambda _: site.phase("churn") == "Serving")
    assert site.condition("churn", "CatalogNotStored") == ""


def test_a_step_that_fails_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own is told like any other, and the pool tries again."""
    site.serve("churn")

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(carrier.ConfigMapCarrier, "read", broken)
        found = site.run(lambda running: running.trouble and running.steps > 2)
    assert found.trouble is not None
    assert "a step failed: ZeroDivisionError" in found.trouble.why
    site.run(lambda _: site.phase("churn") == "Serving")


def test_who_may_not_be_served_is_told(site: Site) -> None:
    """By its status, like everybody; and one that cannot be read too."""
    site.serve("churn", "elsewhere")
    site.serve("fraud", spec={"model": "fraud", "alias": "no/alias"})
    site.run(lambda _: site.status("churn", "elsewhere") and site.status("fraud"))
    assert "does not allow the namespace 'elsewhere'" in site.status("churn", "elsewhere")["reason"]
    assert site.condition("fraud", "Conflict") == "True"


def test_a_status_is_what_the_schema_says(site: Site) -> None:
    """It is read back as what it was made of."""
    site.serve("churn")
    site.run(lambda _: site.phase("churn") == "Serving")
    found = msgspec.convert(site.status("churn"), status.Status)
    assert msgspec.to_builtins(found) == site.status("churn")
