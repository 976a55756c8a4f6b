"""Replicas of several releases: what the oldest does not know is not written, and the reason says so."""

from __future__ import annotations

import msgspec
from operator_site import Site

from fairlead_operator import skew
from fairlead_operator.documents import (
    CATALOG_VERSION,
    Catalog,
    ModelEntry,
    Route,
    VersionEntry,
    empty_catalog,
    read_catalog,
)
from fairlead_operator.state import Phase, Plan, Rollout
from fairlead_operator.testing import digest_of

D1 = digest_of("1")
PLAIN = ModelEntry({"1": VersionEntry("/m/1", D1)}, Route({"1": 1.0}), {"champion": "1"})
STICKY = msgspec.structs.replace(PLAIN, route=Route({"1": 1.0}, {"header": "x-user"}))
MATCH = msgspec.structs.replace(PLAIN, route=Route({"1": 1.0}, None, ({"version": "1", "value": "a", "header": "x"},)))
OLD, NEW = skew.BASE, skew.BASE | {"sticky", "match"}
BEFORE = Rollout("m", "m", since=1.0, phase=Phase.SERVING)


def test_what_an_entry_needs() -> None:
    """What a server would serve wrongly if it passed it over."""
    assert skew.needs(PLAIN) == frozenset()
    assert (
        skew.needs(msgspec.structs.replace(PLAIN, versions={"1": VersionEntry("/m/1", D1, {"x": 1}, 7)})) == frozenset()
    )
    assert (skew.needs(STICKY), skew.needs(MATCH)) == ({"sticky"}, {"match"})


def test_only_what_changes_asks_for_more() -> None:
    """What was written by hand without its need is taken over as it stands, and what was required stays required for as
    long as an entry needs it."""
    stored = Catalog(CATALOG_VERSION, 1, {"keyed": STICKY, "plain": PLAIN})
    assert skew.requires({"keyed": STICKY, "plain": MATCH}, stored) == ("match",)
    again = Catalog(CATALOG_VERSION, 2, {"keyed": STICKY, "plain": MATCH}, "", ("match", "sticky", "unheard-of"))
    assert skew.requires({"keyed": STICKY, "plain": MATCH}, again) == ("match", "sticky")
    assert skew.requires({"keyed": STICKY, "plain": PLAIN}, again) == ("sticky",)
    assert skew.requires({"a": PLAIN, "b": MATCH, "c": STICKY}, empty_catalog("")) == ("match", "sticky")


def test_the_oldest_replica_decides() -> None:
    """One that cannot obey holds the wish back: the stored entry and the memory stay, with the reason."""
    decided = Plan(STICKY, msgspec.structs.replace(BEFORE, switched=9))
    assert skew.writable(decided, PLAIN, BEFORE, {"a": NEW, "b": NEW}) == decided
    kept = skew.writable(decided, PLAIN, BEFORE, {"a": NEW, "b": OLD})
    assert (kept.entry, kept.rollout.switched, kept.events) == (PLAIN, 0, ())
    assert "it needs sticky, which not every replica knows: upgrade the pool first (b)" in kept.rollout.reason
    assert skew.writable(decided, PLAIN, BEFORE, {}).entry == PLAIN, "no replica has said what it knows"
    assert skew.writable(decided, STICKY, BEFORE, {"b": OLD}) == decided, "what is stored is not taken back"


def test_a_silent_replica_knows_what_it_knew() -> None:
    """A restart for a moment opens nothing, and what has left the pool counts no more."""
    replica = Site().fleet.replicas["http://r0"].status()
    told = skew.features({"a": msgspec.structs.replace(replica, features=("weights", "sticky"))}, {})
    assert skew.features({"a": "nothing listens there"}, told) == {"a": {"weights", "sticky"}}
    assert skew.features({"b": "nothing listens there"}, told) == {}


def test_a_catalog_says_what_it_requires() -> None:
    """A route that somebody gave a sticky key keeps it, and the catalog names the feature once replicas know it."""
    site = Site()
    site.registry.register("m", "/m/1", "/m/2")
    site.registry.promote("m", "1")
    site.run()
    catalog = read_catalog(site.carrier.data)
    sticky = msgspec.structs.replace(catalog.models["m"], route=Route({"1": 1.0}, {"header": "x-user"}))
    site.carrier.data = msgspec.json.encode(msgspec.structs.replace(catalog, models={"m": sticky}))
    site.registry.promote("m", "2")
    site.run(4)
    assert site.line().conditions["TooNew"] == site.line().reason
    assert set(site.entry().versions) == {"1"}
    for replica in site.fleet.replicas.values():
        replica.features = ("match", "sticky", "weights")
    site.run(12)
    assert site.routed() == "2"
    assert read_catalog(site.carrier.data).requires == ("sticky",)
    assert "TooNew" not in site.line().conditions


def test_one_models_need_holds_up_no_other() -> None:
    """While a route with a sticky key waits for the pool's upgrade, the catalog asks replicas for nothing new, and the
    other models are promoted."""
    site = Site()
    for model in ("m", "other"):
        site.registry.register(model, "/m/1", "/m/2")
        site.registry.promote(model, "1")
    site.run()
    catalog = read_catalog(site.carrier.data)
    sticky = msgspec.structs.replace(catalog.models["m"], route=Route({"1": 1.0}, {"header": "x-user"}))
    models = {**catalog.models, "m": sticky}
    site.carrier.data = msgspec.json.encode(msgspec.structs.replace(catalog, models=models))
    for model in ("m", "other"):
        site.registry.promote(model, "2")
    site.run(12)
    assert (site.routed("other"), site.routed("m")) == ("2", "1")
    assert read_catalog(site.carrier.data).requires == ()
