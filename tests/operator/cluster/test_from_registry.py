"""ServedModels made from tags: only where that is allowed, and removed only when the tag is really gone."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import msgspec
import pytest

from fairlead_operator import config
from fairlead_operator.cluster import api
from fairlead_operator.cluster.from_registry import Maker, object_name, wanted
from fairlead_operator.cluster.lease import Lease
from fairlead_operator.cluster.objects import Objects
from fairlead_operator.cluster.session import Session
from fairlead_operator.cluster.slices import SliceFleet
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.spec import Tags
from fairlead_operator.state import RegisteredModel, Snapshot
from fairlead_operator.testing import FakeRegistry

POOL = {"namespace": "n", "service": "s", "catalog": "c"}
CONFIG = config.parse(
    {
        "registry": {"uri": "http://mlflow"},
        "pools": {
            "default": POOL,
            "gpu": {**POOL, "catalog": "d", "allowedNamespaces": ["ml"]},
            "own": {**POOL, "catalog": "e", "allowedNamespaces": ["theirs"]},
        },
        "tags": {"enabled": True, "namespace": "ml"},
        "lease": {"namespace": "n", "name": "l"},
    }
)


def model(model_name: str, /, **tags: str) -> RegisteredModel:
    return RegisteredModel(model_name, 5, {f"fairlead.{key}": value for key, value in tags.items()}, {"champion": "1"})


def snapshot(*models: RegisteredModel) -> Snapshot:
    return Snapshot({one.name: one for one in models}, (), {})


class Site:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.objects = Objects("champion", lambda: None)
        self.objects.filled([], 0)
        self.maker = Maker(self.api, self.objects, Tags(), CONFIG, lambda: True)

    def answer(self, *models: RegisteredModel) -> list[str]:
        """One complete answer; the names of the objects afterwards."""
        asyncio.run(self.maker.follow(snapshot(*models)))
        self.objects.filled(self.api.objects.values(), 10**9)
        return sorted(path.rpartition("/")[2] for path in self.api.objects)

    def spec(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[api.served_models("ml", name)]["spec"]
        return found


def test_a_tagged_model_gets_an_object() -> None:
    """Labelled as ours, with all that its tags say; the same answer writes nothing more."""
    site = Site()
    churn = model(
        "churn", serve="true", name="x", pool="gpu", alias="live", hold="5", **{"settings.max_batch_size": "8"}
    )
    assert site.answer(churn) == ["churn"]
    assert site.spec("churn") == {
        "model": "churn", "alias": "live", "servedName": "x", "pool": "gpu", "strategy": "blue-green",
        "settings": {"max_batch_size": 8}, "holdSeconds": 5.0,
    }  # fmt: skip
    metadata = site.api.objects[api.served_models("ml", "churn")]["metadata"]
    assert metadata["labels"]["fairlead.dev/from-registry"] == "true"
    assert metadata["annotations"] == {"fairlead.dev/installation": "default"}
    site.api.calls.clear()
    site.answer(churn)
    assert site.api.calls == {}


def test_a_changed_tag_changes_the_object() -> None:
    """Also one that was taken away; what tags never ask for stays as a person has it."""
    site = Site()
    site.answer(model("churn", serve="true", hold="5", **{"settings.max_batch_size": "8", "settings.instances": "2"}))
    site.api.edit(api.served_models("ml", "churn"), spec={**site.spec("churn"), "requireApproval": True})
    site.answer(model("churn", serve="true", alias="live", **{"settings.max_batch_size": "4"}))
    assert site.spec("churn") == {
        "model": "churn", "alias": "live", "servedName": "churn", "pool": "default", "strategy": "blue-green",
        "settings": {"max_batch_size": 4}, "requireApproval": True,
    }  # fmt: skip
    site.answer(model("churn", serve="true"))
    assert "settings" not in site.spec("churn")
    site.api.calls.clear()
    site.answer(model("churn", serve="true"))
    assert site.api.calls == {}


@pytest.mark.parametrize(("tag", "field"), [("pool", "pool"), ("name", "servedName")])
def test_another_pool_or_name_is_another_object(tag: str, field: str) -> None:
    """The API server lets nobody change one: it is removed, and made anew after the next answer."""
    site = Site()
    site.answer(model("churn", serve="true"))
    assert site.answer(model("churn", serve="true", **{tag: "gpu"})) == []
    assert site.answer(model("churn", serve="true", **{tag: "gpu"})) == ["churn"]
    assert site.spec("churn")[field] == "gpu"


def test_what_the_api_server_refuses_is_tried_more_and_more_seldom() -> None:
    """A setting that it does not know, say; at once again when the tags change."""
    site = Site()
    site.api.refuse[api.served_models("ml")] = api.ApiFault(422, "Invalid", "spec.settings: no")
    for _ in range(40):
        site.answer(model("churn", serve="true", **{"settings.max_batch_size": "0"}))
    assert site.api.calls == {"POST": 5}
    site.api.refuse.clear()
    assert site.answer(model("churn", serve="true")) == ["churn"]


def test_a_tag_is_gone_after_three_answers() -> None:
    """Twice away and back is not three times away."""
    site = Site()
    tagged, bare = model("churn", serve="true"), model("churn")
    assert [site.answer(one) for one in (tagged, bare, bare, tagged, bare, bare)] == [["churn"]] * 6
    assert site.answer(bare) == []


def test_a_model_that_is_gone_removes_nothing() -> None:
    """Its tags went with it: the last version keeps serving."""
    site = Site()
    site.answer(model("churn", serve="true"))
    assert [site.answer() for _ in range(5)] == [["churn"]] * 5


def test_an_object_whose_pool_is_gone_is_asked_for_all_the_same() -> None:
    """No pool claims its model, and once the tag is gone no tag finds it: else it would stay for ever."""
    site = Site()
    registry = FakeRegistry()
    registry.register("churn").tags["fairlead.pool"] = "gpu"
    pools = {name: pool for name, pool in CONFIG.pools.items() if name != "gpu"}
    without = msgspec.structs.replace(CONFIG, pools=pools)
    fleets = {name: SliceFleet(site.api, "n", "s", 8003, lambda: None) for name in pools}
    lease = Lease(FakeApi(), "n", "l", "me", lambda: None)
    asyncio.run(lease._round(time.monotonic()))
    session = Session(without, site.api, site.objects, fleets, registry, lease)

    def answer(maker: Maker) -> int:
        asyncio.run(maker.follow(session.question()(registry)[1]))
        site.objects.filled(site.api.objects.values(), 10**9)
        return len(site.api.objects)

    assert answer(site.maker) == 1
    assert [answer(session._maker) for _ in range(5)] == [1] * 5
    del registry.models["churn"].tags["fairlead.serve"]
    assert [answer(session._maker) for _ in range(3)] == [1, 1, 0]


def test_tags_that_cannot_be_read_remove_nothing() -> None:
    """Nor those that ask for what is not allowed."""
    site = Site()
    site.answer(model("churn", serve="true"))
    assert [site.answer(model("churn", serve="true", hold="soon")) for _ in range(5)] == [["churn"]] * 5


@pytest.mark.parametrize(("pool", "told"), [("tpu", "none of those that tags may name"), ("own", "does not allow")])
def test_only_allowed_pools(pool: str, told: str) -> None:
    """The platform team's list decides, not the tag."""
    want = wanted(snapshot(model("churn", serve="true", pool=pool)), Tags(), CONFIG)
    assert want.specs == {}
    assert told in want.faults["churn"]


def test_what_somebody_else_made_is_not_touched() -> None:
    """A ServedModel of the same name, by hand or of another installation; neither changed nor removed."""
    site = Site()
    path = api.served_models("ml", "churn")
    metadata = {"name": "churn", "namespace": "ml", "labels": {"fairlead.dev/from-registry": "true"},
                "annotations": {"fairlead.dev/installation": "staging"}}  # fmt: skip
    body = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ServedModel",
        "metadata": metadata,
        "spec": {"model": "churn"},
    }
    asyncio.run(site.api.create(api.served_models("ml"), body))
    site.objects.filled(site.api.objects.values(), 10**9)
    for one in (model("churn", serve="true"), model("churn"), model("churn"), model("churn")):
        assert site.answer(one) == ["churn"]
    assert site.api.objects[path]["spec"] == {"model": "churn"}


@pytest.mark.parametrize("ours_was_there", [False, True])
def test_what_somebody_made_a_moment_ago_is_not_touched(ours_was_there: bool) -> None:
    """The watch has not told of it yet; it may also stand where one of ours was."""
    site = Site()
    path = api.served_models("ml", "churn")
    if ours_was_there:
        site.answer(model("churn", serve="true"))
        del site.api.objects[path]
    body = {"kind": "ServedModel", "metadata": {"name": "churn", "namespace": "ml"}, "spec": {"alias": "mine"}}
    asyncio.run(site.api.create(api.served_models("ml"), body))
    before = site.api.objects[path]
    asyncio.run(site.maker.follow(snapshot(model("churn", serve="true", alias="live"))))
    assert site.api.objects[path] == before


@pytest.mark.parametrize("name", ["churn", "My Model", "my-model", "a.b", "a..b", "Ünï", "x" * 300, "-", "a/b", "A/b"])
def test_every_model_has_an_objects_name_of_its_own(name: str) -> None:
    """Valid, stable, and not another model's."""
    found = object_name(name)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", found)
    assert found == name or found != object_name(found + " ")
    assert (found == name) == bool(re.fullmatch(r"[a-z0-9-]*[a-z0-9](\.[a-z0-9]+)*", name) and len(name) < 63)


def test_before_the_objects_are_listed_nothing_is_made() -> None:
    """One that is there might be missing from what is known."""
    site = Site()
    site.objects.complete = False
    asyncio.run(site.maker.follow(snapshot(model("churn", serve="true"))))
    assert site.api.objects == {}
