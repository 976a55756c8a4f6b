"""A catalog that is full: who waits, what goes on, and what the waiting costs."""

from __future__ import annotations

import gzip
import random
from collections.abc import Collection

import pytest
from operator_site import Site

from fairlead_operator import fitting
from fairlead_operator.documents import CATALOG_VERSION, Catalog, ModelEntry, Route, VersionEntry, encode, read_catalog
from fairlead_operator.fitting import TOO_LARGE, Growth, Wait, left_out
from fairlead_operator.spec import Served
from fairlead_operator.state import Phase, Target, Wanted
from fairlead_operator.testing import Artifact, digest_of

LARGEST = 3200  # and 100 of it are the reserve
BASE = 1990


def weigh(true: dict[str, int], counted: list[Collection[str]]) -> fitting.Size:
    """The size of a document of BASE bytes and these."""

    def size(out: Collection[str]) -> int:
        counted.append(out)
        return BASE + sum(takes for name, takes in true.items() if name not in out)

    return size


def new(*names: str, takes: int = 100) -> list[Growth]:
    return [Growth(name, True, takes) for name in names]


FIT: list[tuple[str, list[Growth], dict[str, int], set[str]]] = [
    ("all fit", new("a", "b"), {"a": 100, "b": 100}, set()),
    ("the newest wait", new(*"abcdefghijklmn"), dict.fromkeys("abcdefghijklmn", 100), set("lmn")),
    ("one that is too large alone", new("a", takes=1300), {"a": 1300}, {"a"}),
    (
        "the oldest is too large, and stops nobody",
        [Growth("a", True, 5000), *new("b", "c")],
        {"a": 5000, "b": 100, "c": 100},
        {"a"},
    ),
    (
        "versions go first, and may take the reserve",
        [Growth("v", False, 1150), *new("a")],
        {"v": 1150, "a": 100},
        {"a"},
    ),
    (
        "estimates that are too high",
        new(*"abcdefghijklmn", takes=150),
        dict.fromkeys("abcdefghijklmn", 100),
        set("lmn"),
    ),
    (
        "one that takes three times what it seems to",
        [Growth("a", True, 300), *new(*"bcdefghijk")],
        {"a": 900, **dict.fromkeys("bcdefghijk", 100)},
        set("defghijk"),
    ),
]


@pytest.mark.parametrize(("grown", "true", "waiting"), [row[1:] for row in FIT], ids=[row[0] for row in FIT])
def test_who_waits(grown: list[Growth], true: dict[str, int], waiting: set[str]) -> None:
    """Few packings; what goes in fits; the same question has the same answer."""
    counted: list[Collection[str]] = []
    out, size = left_out(grown, weigh(true, counted), LARGEST)
    assert out == waiting
    assert size == weigh(true, [])(out)
    assert size <= LARGEST
    assert len(counted) <= 5
    assert left_out(grown, weigh(true, []), LARGEST) == (out, size)


def test_what_is_told_is_never_too_large() -> None:
    """Estimates that have nothing to do with the truth: at worst all wait."""
    numbers = random.Random(5)
    for _ in range(300):
        grown = [Growth(f"{n}", numbers.random() < 0.7, numbers.randint(1, 400)) for n in range(numbers.randint(1, 30))]
        true = {growth.served: numbers.randint(1, 400) for growth in grown}
        counted: list[Collection[str]] = []
        out, size = left_out(grown, weigh(true, counted), LARGEST)
        assert size == weigh(true, [])(out) <= LARGEST
        assert len(counted) <= 5
        assert size <= LARGEST - LARGEST // fitting.RESERVE or all(g.served in out for g in grown if g.new)


def entry(*versions: str, digest: bool = True, **settings: object) -> ModelEntry:
    numbers = random.Random(",".join(versions))
    entries = {
        version: VersionEntry(f"/{numbers.randbytes(16).hex()}", digest_of(version) if digest else None, settings)
        for version in versions
    }
    return ModelEntry(entries, Route({versions[0]: 1.0}))


@pytest.mark.parametrize(
    ("old", "now", "more"),
    [
        (None, entry("1"), True),
        (None, None, False),
        (entry("1"), None, False),
        (entry("1"), entry("1", "2"), True),
        (entry("1", "2"), entry("2"), False),
        (entry("1", "2"), entry("1", "3"), False),
        (entry("1", digest=False), entry("1"), False),
        (entry("1"), entry("1", long="x" * 99), True),
        (entry("1", "2"), ModelEntry(entry("1", "2").versions, Route({"2": 1.0}), {"champion": "2"}), False),
    ],
)
def test_what_grows(old: ModelEntry | None, now: ModelEntry | None, more: bool) -> None:
    """Versions and their settings; not a pin, a route or an alias, and not one version in another's place."""
    assert fitting.grows(old, now) == more


def test_the_order_in_which_they_go_in() -> None:
    """Versions of stored models, then new models; the older claim first; what does not grow is not among them."""
    stored = {"v": entry("1"), "w": entry("1"), "same": entry("1"), "less": entry("1", "2")}
    changed = {
        "old": entry("1"), "young": entry("1"), "v": entry("1", "2"), "w": entry("1", "2"), "same": entry("1"),
        "less": entry("2"), "gone": None,
    }  # fmt: skip
    ages = {"old": 1, "young": 9, "v": 8, "w": 7}
    found = fitting.growths(stored, changed, lambda name: ages.get(name, 0))
    assert [(growth.served, growth.new) for growth in found] == [
        ("w", False), ("v", False), ("old", True), ("young", True),
    ]  # fmt: skip


def test_estimates_are_near() -> None:
    """Of a thousand models with random digests, and of one whose settings do not compress."""
    numbers = random.Random(3)
    models = {
        f"m-{n}": ModelEntry({"1": VersionEntry(f"mlflow-artifacts:/1/{numbers.randbytes(16).hex()}/artifacts/model")},
                             Route({"1": 0.0})) for n in range(1000)
    }  # fmt: skip
    models["large"] = entry("1", digest=False, x=numbers.randbytes(20_000).hex())
    found = {growth.served: growth.bytes for growth in fitting.growths({}, models, lambda _: 0)}

    def packed(models: dict[str, ModelEntry]) -> int:
        return len(gzip.compress(encode(Catalog(CATALOG_VERSION, 1, models)), 6)) + fitting.to_come(models)

    large = found.pop("large")
    small = packed({name: models[name] for name in found})
    assert small < sum(found.values()) < 1.6 * small
    assert large == pytest.approx(packed(models) - small, rel=0.05)


@pytest.mark.parametrize(
    ("spec", "asked", "room", "lasts"),
    [
        (Served("m", "m"), Wanted(Target("1", "/m/1")), 500, True),
        (Served("m", "m"), Wanted(Target("1", "/m/1")), 520, True),
        (Served("m", "m"), Wanted(Target("1", "/m/1")), 540, False),
        (Served("m", "m", settings={"a": 1}), Wanted(Target("1", "/m/1")), 500, False),
        (Served("m", "m"), Wanted(Target("2", "/m/2")), 500, False),
    ],
)
def test_what_waits_is_weighed_again(spec: Served, asked: Wanted, room: int, lasts: bool) -> None:
    """When there is more room, or something else is asked for."""
    assert Wait(Served("m", "m"), Wanted(Target("1", "/m/1")), 500).lasts(spec, asked, room) == lasts


# --- from end to end


def register(site: Site, *names: str) -> None:
    """Models whose sources do not compress."""
    for name in names:
        numbers = random.Random(name)
        sources = [f"/{numbers.randbytes(16).hex()}" for _ in range(3)]
        site.world |= {source: Artifact(f"{name} {source}") for source in sources}
        site.registry.register(name, *sources)
        site.registry.promote(name, "1")


def waiting(site: Site) -> list[str]:
    return sorted(line.served for line in site.operator.lines() if TOO_LARGE in line.conditions)


@pytest.fixture
def site() -> Site:
    """A pool that is full: sixty models serve, and no other has room."""
    site = Site()
    register(site, *(f"m{n}" for n in range(60)))
    site.run()
    site.carrier.largest = 1 + site.carrier.size(read_catalog(site.carrier.data)) * 32 // 31
    return site


def test_one_model_too_many_stops_no_other(site: Site) -> None:
    """It says so, with what to do, and never gets into the catalog; a promotion, a removal and a return go on."""
    register(site, "n1")
    site.run()
    assert waiting(site) == ["n1"]
    line = site.line("n1")
    assert line.phase == Phase.WAITING
    assert "version 1 waits: it does not fit into the pool's catalog" in line.reason
    assert "serve fewer models" in line.conditions[TOO_LARGE]
    assert site.entry("n1") is None
    site.registry.promote("m3", "2")
    site.run(12)
    assert site.routed("m3") == "2"
    site.registry.promote("m3", "1")
    site.run(4)
    assert site.routed("m3") == "1"
    assert waiting(site) == ["n1"]


def test_room_is_taken_at_once(site: Site) -> None:
    """Two go, and the oldest of those that wait comes in; the others wait on."""
    register(site, "n1", "n2")
    site.run()
    assert waiting(site) == ["n1", "n2"]
    for name in ("m0", "m2"):
        del site.registry.models[name].tags["fairlead.serve"]
    site.run()
    assert site.routed("n1") == "1"
    assert waiting(site) == ["n2"]
    assert site.status_tag("1", "n1") == "serving"
    assert site.line("m1").phase == Phase.SERVING


def test_one_that_is_too_large_lets_younger_ones_pass(site: Site) -> None:
    """Its settings do not fit; the one that came after it does. Smaller settings bring it in."""
    site.carrier.largest += 600
    register(site, "n1", "n2")
    site.registry.models["n1"].tags["fairlead.settings.note"] = random.Random(1).randbytes(2000).hex()
    site.run()
    assert waiting(site) == ["n1"]
    assert site.routed("n2") == "1"
    del site.registry.models["n1"].tags["fairlead.settings.note"]
    site.run()
    assert waiting(site) == []
    assert site.routed("n1") == "1"


def test_promotions_wait_for_each_other(site: Site) -> None:
    """More new versions than there is room for: the others keep what serves, and all come through in the end."""
    site.carrier.largest = site.carrier.size(read_catalog(site.carrier.data)) + 300
    names = [f"m{n}" for n in range(10)]
    for name in names:
        site.registry.promote(name, "2")
    site.run(3)
    late = waiting(site)
    assert 0 < len(late) < 10
    assert late == names[-len(late) :]
    assert all(site.routed(name) == "1" for name in late)
    assert "version 1 keeps serving" in site.line(late[0]).reason
    site.run(400)
    assert [site.routed(name) for name in names] == ["2"] * 10
    assert waiting(site) == []


def test_an_alias_that_waited_elsewhere_has_left(site: Site) -> None:
    """From a refused version to one that has no room, and back: that is the retry of the refused one."""
    site.carrier.largest += 1000
    second = site.world[site.registry.models["m3"].versions["2"].source]
    second.broken = "no memory"
    site.registry.promote("m3", "2")
    site.run(15)
    assert site.line("m3").phase == Phase.REFUSED
    second.broken = ""
    site.carrier.largest = site.carrier.size(read_catalog(site.carrier.data))
    site.registry.promote("m3", "3")
    site.run(4)
    assert waiting(site) == ["m3"]
    site.carrier.largest += 1000
    site.registry.promote("m3", "2")
    site.run(15)
    assert site.routed("m3") == "2"


def test_waiting_costs_nothing(site: Site) -> None:
    """While nothing changes nothing is packed, planned, written or told; also when the operator starts anew."""
    register(site, "n1", "n2")
    site.run()
    for _ in range(2):
        packed, writes, saved = site.carrier.packed, len(site.registry.writes), dict(site.records.rollouts)
        generation = read_catalog(site.carrier.data).generation
        site.run(20)
        assert site.carrier.packed == packed
        assert len(site.registry.writes) == writes
        assert site.records.rollouts == saved
        assert read_catalog(site.carrier.data).generation == generation
        assert not site.operator.moving()
        site.start()
        site.run(3)
        assert waiting(site) == ["n1", "n2"]


def test_a_changed_setting_that_does_not_fit_waits(site: Site) -> None:
    """What serves goes on with its old settings, and a promotion of the model does, too."""
    site.registry.models["m1"].tags["fairlead.settings.note"] = random.Random(1).randbytes(2000).hex()
    site.run(5)
    assert waiting(site) == ["m1"]
    assert "what changed of version 1 waits" in site.line("m1").reason
    assert site.routed("m1") == "1"
    assert site.entry("m1").versions["1"].settings == {}


def test_it_may_be_removed_while_it_waits(site: Site) -> None:
    """And is forgotten like any other."""
    register(site, "n1")
    site.run()
    del site.registry.models["n1"].tags["fairlead.serve"]
    site.run(6)
    assert "n1" not in {line.served for line in site.operator.lines()}
    assert "n1" not in site.records.rollouts
