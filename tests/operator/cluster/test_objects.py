"""The ServedModels as they are known: nothing is lost with a watch that breaks, and nothing withdrawn by a fault."""

from __future__ import annotations

from typing import Any

from fairlead_operator import config
from fairlead_operator.cluster.objects import Known, Missed, Objects, claims_of, refusal

CONFIG = config.parse(
    {
        "registry": {"uri": "http://mlflow"},
        "pools": {
            "default": {"namespace": "n", "service": "s", "catalog": "c"},
            "gpu": {"namespace": "n", "service": "s", "catalog": "d", "allowedNamespaces": ["ml"]},
        },
        "lease": {"namespace": "n", "name": "l"},
    }
)


def served_model(name: str, version: int, *, uid: str = "", spec: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ServedModel",
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(version),
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", **metadata,
        },
        "spec": {"model": name} if spec is None else spec,
    }  # fmt: skip


class Site:
    def __init__(self) -> None:
        self.changes = 0
        self.objects = Objects("champion", self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def names(self) -> set[str]:
        return set(self.objects.known)

    def one(self, name: str) -> Known:
        return self.objects.known[f"ns/{name}"]


def test_a_list_makes_it_complete() -> None:
    """Before that, absence proves nothing."""
    site = Site()
    site.objects.event("ADDED", served_model("a", 5))
    assert not claims_of(site.objects.known, "default", CONFIG, site.objects.complete).certain
    site.objects.filled([served_model("b", 6)], 7)
    assert site.names() == {"ns/b"}
    assert claims_of(site.objects.known, "default", CONFIG, site.objects.complete).certain


def test_an_object_newer_than_the_list_stays() -> None:
    """It was made while the list was on its way."""
    site = Site()
    site.objects.event("ADDED", served_model("a", 9))
    site.objects.filled([], 7)
    assert site.names() == {"ns/a"}


def test_older_news_change_nothing() -> None:
    """A watch that begins anew tells what was known already."""
    site = Site()
    site.objects.put(served_model("a", 9))
    site.objects.event("", served_model("a", 8, spec={"model": "old"}))
    assert site.one("a").claim is not None
    assert site.one("a").claim.model == "a"
    assert site.changes == 1


def test_a_status_is_no_change_of_what_is_asked_for() -> None:
    """Our own writes wake nobody; they are known nevertheless."""
    site = Site()
    site.objects.put(served_model("a", 1))
    site.objects.put({**served_model("a", 2), "status": {"phase": "Serving"}})
    assert site.changes == 1
    assert site.one("a").status == {"phase": "Serving"}


def test_a_deletion_is_certain_at_once() -> None:
    """Also where somebody's finalizer still holds the object; a later object of that name is another one."""
    site = Site()
    site.objects.put(served_model("a", 1))
    site.objects.event("DELETED", served_model("a", 2))
    assert site.names() == set()
    site.objects.put(served_model("a", 3, uid="new"))
    site.objects.event("DELETED", served_model("a", 4))
    assert site.names() == {"ns/a"}
    site.objects.event("MODIFIED", served_model("a", 5, uid="new", deletionTimestamp="2026-01-02T00:00:00Z"))
    assert site.names() == set()


def test_a_check_finds_what_the_watch_missed() -> None:
    """Gone, new and changed ones; what is newer than the list is left alone."""
    site = Site()
    for name, version in (("same", 1), ("gone", 2), ("changed", 3), ("fresh", 20)):
        site.objects.put(served_model(name, version))
    missed = site.objects.checked([served_model("same", 1), served_model("changed", 8), served_model("new", 9)], 10)
    assert missed == Missed(("ns/gone",), ("ns/changed", "ns/new"))
    assert site.names() == {"ns/same", "ns/changed", "ns/fresh"}


def test_one_that_waits_for_a_finalizer_is_gone() -> None:
    """It stands in every list, and is neither known nor missed."""
    site = Site()
    site.objects.put(served_model("a", 1))
    ending = served_model("a", 5, deletionTimestamp="2026-01-02T00:00:00Z")
    assert site.objects.checked([ending], 6) == Missed(("ns/a",), ())
    assert site.objects.checked([ending], 7) == Missed((), ())
    site.objects.put(served_model("b", 8))
    site.objects.filled([ending, served_model("b", 9, uid="new", deletionTimestamp="2026-01-02T00:00:00Z")], 10)
    assert site.names() == set()


def test_a_late_answer_brings_nothing_back() -> None:
    """Of a write or a question that was under way when the object was removed; one made anew is another."""
    site = Site()
    site.objects.put(served_model("a", 1))
    site.objects.put(served_model("b", 2))
    site.objects.event("DELETED", served_model("a", 5))
    site.objects.checked([], 6)
    for name in ("a", "b"):
        site.objects.put(served_model(name, 4))
    site.objects.checked([], 7)  # the list may come before the answer
    for name in ("a", "b"):
        site.objects.put(served_model(name, 4))
    assert site.names() == set()
    site.objects.put(served_model("a", 8, uid="new"))
    assert site.names() == {"ns/a"}


def test_removals_are_not_remembered_for_ever() -> None:
    """A few checks, and nothing is kept of them."""
    site = Site()
    for n in range(10):
        site.objects.put(served_model("a", 2 * n + 1, uid=f"u{n}"))
        site.objects.checked([], 2 * n + 2)
    assert sum(map(len, site.objects._removed)) < 4


def test_a_fault_withdraws_nothing() -> None:
    """It is told by object, and its served name is not free."""
    site = Site()
    site.objects.put(served_model("a", 1, spec={"model": "m", "servedName": "x", "alias": "live"}))
    site.objects.put(served_model("a", 2, spec={"model": "m", "servedName": "x", "alias": "no/alias"}))
    claims = claims_of(site.objects.known, "default", CONFIG, True)
    assert claims.served == ()
    assert set(claims.faults) == {"ns/a", "x"}
    assert "alias" in claims.faults["ns/a"]


def test_each_pool_hears_of_its_own() -> None:
    """By name, and where it allows the namespace."""
    site = Site()
    site.objects.put(served_model("a", 1))
    site.objects.put(served_model("b", 2, spec={"model": "b", "pool": "gpu"}))
    site.objects.put(served_model("c", 3, spec={"model": "c", "pool": "tpu"}))
    assert [claim.ref for claim in claims_of(site.objects.known, "default", CONFIG, True).served] == ["ns/a"]
    assert claims_of(site.objects.known, "gpu", CONFIG, True).served == ()
    assert refusal(site.one("a"), CONFIG) == ""
    assert "does not allow the namespace 'ns'" in refusal(site.one("b"), CONFIG)
    assert "there is no pool 'tpu' here: it has default, gpu" in refusal(site.one("c"), CONFIG)
