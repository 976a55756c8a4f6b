"""The ConfigMap: fenced by what was read, and whatever people do to it."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import Any

import pytest

from fairlead_operator.cluster import api, carrier
from fairlead_operator.cluster.carrier import KEY, LARGEST, CatalogTooLarge, ConfigMapCarrier, pack, unpack
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.documents import CATALOG_VERSION, Catalog, ModelEntry, Route, VersionEntry, encode
from fairlead_operator.state import CatalogConflict, Stored

PATH = api.config_maps("ns", "catalog")


def catalog(generation: int, models: int = 1, owner: str = "default") -> Catalog:
    numbers = random.Random(7)
    entries = {}
    for number in range(models):
        version = VersionEntry(f"mlflow-artifacts:/1/{numbers.randbytes(16).hex()}/artifacts/model",
                               f"sha256:{numbers.randbytes(32).hex()}")  # fmt: skip
        entries[f"model-{number}"] = ModelEntry({"1": version}, Route({"1": 1.0}), {"champion": "1"})
    return Catalog(CATALOG_VERSION, generation, entries, owner)


class Site:
    """A ConfigMap and its carrier; every read is a fresh one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(carrier, "FRESH_S", 0.0)
        monkeypatch.setattr(carrier, "AGAIN_S", 0.0)
        self.api = FakeApi()
        self.carrier = self.another()

    def another(self, owner: str = "default", takeover: bool = False, allowed: bool = True) -> ConfigMapCarrier:
        return ConfigMapCarrier(self.api, "ns", "catalog", owner, takeover, lambda: allowed)

    def read(self) -> Stored:
        return asyncio.run(self.carrier.read())

    def write(self, new: Catalog) -> Stored:
        async def both() -> Stored:
            return await self.carrier.write(new, await self.carrier.read())

        return asyncio.run(both())

    def put(self, **fields: Any) -> None:
        self.api.edit(PATH, **fields)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def packed(data: bytes) -> dict[str, str]:
    return {KEY: base64.b64encode(pack(data)).decode()}


def test_what_is_written_is_read_back_by_another(site: Site) -> None:
    """The same bytes, and what people look at stands in the annotations."""
    written = site.write(catalog(1))
    found = asyncio.run(site.another().read())
    assert found == written
    annotations = site.api.objects[PATH]["metadata"]["annotations"]
    assert annotations == {"fairlead.dev/generation": "1", "fairlead.dev/owner": "default"}


def test_the_same_catalog_gives_the_same_bytes() -> None:
    """Compressed, too: a write that changes nothing changes nothing."""
    assert pack(encode(catalog(3, 10))) == pack(encode(catalog(3, 10)))
    assert unpack(pack(b"x" * 1000)) == b"x" * 1000


def test_of_two_writers_one_is_told(site: Site) -> None:
    """Both read the same; the second write is refused, and the next read shows the first one's."""
    other = site.another()
    site.read()
    old = asyncio.run(other.read())
    site.write(catalog(1))
    with pytest.raises(CatalogConflict, match="changed by somebody else"):
        asyncio.run(other.write(catalog(1, 2), old))
    assert asyncio.run(other.read()).catalog == catalog(1)


def test_a_step_reads_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is known; it is looked at again after half a minute."""
    monkeypatch.setattr(carrier, "FRESH_S", 30.0)
    site.write(catalog(1))
    site.api.calls.clear()
    for generation in range(2, 6):
        site.read()
        site.write(catalog(generation))
    assert site.api.calls == {"PUT": 4}


def test_deleted_by_hand_it_is_written_again(site: Site) -> None:
    """With the bytes that were written last."""
    written = site.write(catalog(4))
    del site.api.objects[PATH]
    assert site.read() == written
    assert asyncio.run(site.another().read()) == written


@pytest.mark.parametrize("fields", [{"binaryData": {}}, {"binaryData": None}])
def test_emptied_by_hand_it_is_written_again(site: Site, fields: dict[str, Any]) -> None:
    """A ConfigMap without the key is no catalog of nothing."""
    written = site.write(catalog(4))
    site.put(**fields)
    assert site.read() == written
    assert asyncio.run(site.another().read()) == written


def test_an_old_backup_gives_way_to_what_was_written_last(site: Site) -> None:
    """The newer generation wins."""
    site.write(catalog(4))
    old = site.api.objects[PATH]["binaryData"]
    written = site.write(catalog(9, 2))
    site.put(binaryData=old)
    assert site.read() == written
    assert asyncio.run(site.another().read()) == written


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"binaryData": {KEY: base64.b64encode(b"models: {}").decode()}}, "not gzip"),
        ({"binaryData": {KEY: base64.b64encode(pack(b"{}")[:-9]).decode()}}, "cut off"),
        ({"binaryData": packed(b"models: {}")}, "not a catalog"),
        ({"binaryData": packed(b'{"apiVersion": "v2", "generation": 1, "models": {}}')}, "apiVersion"),
    ],
)
def test_nonsense_is_not_written_over(site: Site, fields: dict[str, Any], told: str) -> None:
    """Nothing is changed while it stands there; deleting it is the way out, or takeover."""
    site.write(catalog(4))
    site.put(**fields)
    with pytest.raises(CatalogConflict, match=told):
        site.read()
    assert site.api.objects[PATH]["binaryData"] == fields["binaryData"]
    taking = site.another(takeover=True)
    assert asyncio.run(taking.read()).catalog.models == {}
    del site.api.objects[PATH]
    assert site.read().catalog == catalog(4)


def test_another_installations_catalog_is_left_alone(site: Site) -> None:
    """Unless it is to be taken over."""
    site.write(catalog(4))
    site.carrier = site.another("other")
    with pytest.raises(CatalogConflict, match="belongs to 'default', not to 'other'"):
        site.read()
    site.carrier = site.another("other", takeover=True)
    assert site.read().catalog == catalog(4)


def test_five_thousand_models_fit(site: Site) -> None:
    """With digests and places that do not compress."""
    site.write(catalog(1, 5000))
    assert site.carrier.bytes < LARGEST


def test_what_does_not_fit_says_so_and_changes_nothing(site: Site) -> None:
    """With the number of models, and what to do."""
    site.write(catalog(1))
    with pytest.raises(CatalogTooLarge, match=r"25000 models is \d+ bytes compressed.*divide them"):
        site.write(catalog(2, 25000))
    assert site.read().catalog == catalog(1)


def test_what_was_measured_is_not_packed_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the next catalog, and the room beside the stored one."""
    packed = []
    monkeypatch.setattr(carrier, "pack", lambda data: packed.append(data) or pack(data))
    size = site.carrier.size(catalog(1, 9))
    site.read()
    site.write(catalog(1, 9))
    assert len(packed) == 1
    assert (site.carrier.bytes, site.carrier.room()) == (size, LARGEST - size)


def test_a_passive_operator_writes_nothing(site: Site) -> None:
    """Whatever its loops had in hand when it lost the lease."""
    site.carrier = site.another(allowed=False)
    with pytest.raises(CatalogConflict, match="another operator may be active"):
        site.write(catalog(1))
    assert PATH not in site.api.objects
