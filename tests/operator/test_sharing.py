"""One tag for all claims that serve a version: what it says, what is read back, and how often it is written."""

from __future__ import annotations

import pytest
from operator_site import Site

from fairlead_operator.sharing import LONGEST, Board, Note, Said, names, own, told
from fairlead_operator.state import Phase, Snapshot, Target, VersionTags


def said(pool: str, status: str, served: str = "m", written: str = "", digest: str = "") -> Said:
    return Said(pool, served, served, "m", "1", VersionTags(status, digest), VersionTags(written))


def keys(claims: list[Said]) -> set[tuple[str, str]]:
    return {(one.pool, one.key) for one in claims}


TOLD: list[tuple[str, list[Said], str]] = [
    ("one claim", [said("a", "serving")], "serving"),
    ("all agree", [said("a", "serving"), said("b", "serving")], "serving"),
    ("they differ", [said("a", "serving"), said("b", "loading")], "serving (pool a); loading (pool b)"),
    (
        "two of three agree",
        [said("a", "held"), said("b", "serving"), said("c", "held")],
        "held (pool a, pool c); serving (pool b)",
    ),
    ("not loaded any more in one", [said("a", "retired"), said("b", "serving")], "serving"),
    ("nowhere loaded any more", [said("a", "retired"), said("b", "withdrawn")], "retired"),
    (
        "two names in one pool",
        [said("a", "serving", "m"), said("a", "loading", "n")],
        "serving (pool a: m); loading (pool a: n)",
    ),
    (
        "names only where they are needed",
        [said("a", "serving", "m"), said("a", "loading", "n"), said("b", "held", "m"), said("b", "held", "n")],
        "serving (pool a: m); loading (pool a: n); held (pool b)",
    ),
    (
        "a reason that looks like the form",
        [said("a", "refused: no; memory (pool b)"), said("b", "serving", "x (;y)")],
        "refused: no, memory (pool b) (pool a); serving (pool b)",
    ),
]


@pytest.mark.parametrize(("claims", "text"), [row[1:] for row in TOLD], ids=[row[0] for row in TOLD])
def test_what_the_tag_says(claims: list[Said], text: str) -> None:
    """The plain value where all agree, else who says what, in the order of the pools."""
    assert told(claims, keys(claims)) == text
    for one in claims:
        if " (pool " in text and not one.wanted.status.startswith("retired"):
            assert own(text, one.pool, one.served) == one.wanted.status.replace(";", ",")


@pytest.mark.parametrize(
    ("value", "mine"),
    [
        ("", ""),
        ("refused: no memory", "refused: no memory"),
        ("serving (failed in replica r1: disk; full)", "serving (failed in replica r1: disk; full)"),
        ("serving (pool b); loading (pool c)", ""),
        ("serving (pool b); refused: a (b) c (pool a, pool c)", "refused: a (b) c"),
        ("serving (pool a: other); loading (pool a: m)", "loading"),
    ],
)
def test_what_is_read_back(value: str, mine: str) -> None:
    """Its own part; nothing where only others are named; all of a value that names nobody."""
    assert own(value, "a", "m") == mine


def test_it_is_bounded() -> None:
    """Thousands of claims that differ fit into one tag, and many that agree are counted."""
    many = [said("a", "loading" if n % 2 else "serving", f"m{n:04}") for n in range(2000)]
    assert "pool a: m0014, and 992 more)" in told(many, keys(many))
    differing = [said(f"p{n:04}", f"refused: {n} " + "x" * 500) for n in range(100)]
    assert len(told(differing, keys(differing))) <= LONGEST


def test_a_claim_with_nothing_else_loaded_names_itself() -> None:
    """A new claim, of another pool or of a copied version, must not take this refusal for its own."""
    reason = "refused: " + "x" * 900
    tag = told([said("a", reason)], set())
    assert tag == f"{reason} (pool a: m)"
    assert (own(tag, "a", "m"), own(tag, "a", "n"), own(tag, "b", "m")) == (reason, "", "")
    assert told([said("a", "refused: x"), said("a", "refused: x", "n")], {("a", "n")}) == (
        "refused: x (pool a: m, pool a)"
    )
    assert names(tag, "a", "m")
    assert not names("refused: x (pool a)", "a", "m"), "its pool alone"
    assert told([said("a", "serving")], set()) == "serving"


def test_it_is_written_once_for_all() -> None:
    """Those for whom it is news are noted; a change of one is one write; what everybody knows is none."""
    board = Board()
    first = [said("a", "serving", written="serving"), said("b", "loading")]
    (untold,) = board.untold(first)
    assert untold.value == "serving (pool a); loading (pool b)"
    assert untold.notes == (Note("b", "m", "1", "status", "loading"),)
    board.told(untold)
    assert board.untold([first[0], said("b", "loading", written="loading")]) == []
    (untold,) = board.untold([first[0], said("b", "serving", written="loading")])
    assert untold.value == "serving"
    board.told(untold)
    assert board.untold([first[0], said("b", "serving", written="serving")]) == []


def test_a_claim_that_vanished_no_longer_counts() -> None:
    """Also where its pool went without a word, and this operator has just started: the registry tells what it says."""
    alone = [said("a", "serving", written="serving")]
    board = Board()
    assert board.untold(alone) == []
    tag = Target("1", "/m/1", status="serving (pool a); loading (pool b)")
    board.heard(Snapshot({}, (), {"m": {"1": tag, "2": None}}))
    (untold,) = board.untold(alone)
    assert (untold.value, untold.notes) == ("serving", ())
    board.told(untold)
    assert board.untold(alone) == []


def test_a_new_operator_writes_nothing_that_is_there() -> None:
    """The value that several claims share is read from the registry, not written again."""
    board = Board()
    board.heard(
        Snapshot({}, (), {"m": {"1": Target("1", "/m/1", status="serving (pool a); loading (pool b)")}}),
    )
    assert board.untold([said("a", "serving", written="serving"), said("b", "loading", written="loading")]) == []


def test_digests_that_differ_are_told_as_the_first_pools() -> None:
    """One value, whoever comes last."""
    board = Board()
    digests = [said("a", "s", written="s", digest="d1"), said("b", "s", written="s", digest="d2")]
    (untold,) = board.untold(digests)
    assert (untold.tag, untold.value) == ("digest", "d1")
    assert [note.value for note in untold.notes] == ["d1", "d2"]


# --- two pools, from end to end


class Pools:
    """Two pools of one installation, with one registry."""

    def __init__(self) -> None:
        self.a, self.b = Site(pool="a"), Site(pool="b")
        self.b.registry = self.a.registry
        self.registry = self.a.registry
        self.registry.register("m", "/m/1", "/m/2")
        self.start()

    def start(self) -> None:
        self.board = Board()
        for site in (self.a, self.b):
            site.start()
            site.board = self.board

    def run(self, rounds: int = 20, only: Site | None = None) -> None:
        sites = [only] if only else [self.a, self.b]
        for _ in range(rounds):
            for site in sites:
                site.look()
            self.tell()
            for site in sites:
                site.step()
                site.fleet.tick()

    def tell(self) -> None:
        sites = {site.pool: site for site in (self.a, self.b)}
        for untold in self.board.untold([one for site in sites.values() for one in site.operator.said(site.pool)]):
            self.registry.write_tag(untold.model, untold.version, untold.tag, untold.value)
            self.board.told(untold)
            for note in untold.notes:
                sites[note.pool].operator.told(note)


@pytest.fixture
def pools() -> Pools:
    """Version 1 serves in both."""
    pools = Pools()
    pools.registry.promote("m", "1")
    pools.run()
    return pools


def test_two_pools_that_agree_say_what_one_would(pools: Pools) -> None:
    """The plain value, and at rest no write."""
    assert pools.a.status_tag("1") == "serving"
    writes = len(pools.registry.writes)
    pools.run(10)
    assert len(pools.registry.writes) == writes


def test_two_pools_that_differ_are_both_told(pools: Pools) -> None:
    """One pool refuses what the other one serves: one stable value, each change written once, and a new operator that
    has lost its memory still knows who refused it."""
    pools.b.world["/m/2"].broken = "no memory"
    pools.registry.promote("m", "2")
    pools.run()
    both = "serving (pool a); refused: no memory (replica http://r0) (pool b)"
    assert pools.a.status_tag("2") == both
    told = [value for _, version, tag, value in pools.registry.writes if (version, tag) == ("2", "status")]
    assert len(told) == len(set(told)), "a value came back"
    assert pools.a.status_tag("1") == "held (pool a); serving (pool b)"
    for site in (pools.a, pools.b):
        site.records.rollouts.clear()
    pools.start()
    writes = len(pools.registry.writes)
    pools.run(10)
    assert pools.b.line().phase == Phase.REFUSED
    assert "no memory" in pools.b.line().reason
    assert pools.a.routed() == "2"
    assert {value for _, version, _, value in pools.registry.writes[writes:] if version == "2"} <= {both}


def test_a_claim_that_is_removed_no_longer_counts(pools: Pools) -> None:
    """The other one's word stands alone, and the removed one is forgotten."""
    pools.b.world["/m/2"].broken = "no memory"
    pools.registry.promote("m", "2")
    pools.run()
    pools.b.sightings = pools.b.sightings.__class__(removed=frozenset({"m"}), heard=True)
    pools.b.look = lambda: None
    pools.run(5)
    assert pools.a.status_tag("2") == "serving"
    assert pools.b.operator.said("b") == []
    assert pools.b.entry() is None


def test_what_serves_in_one_pool_is_approved_anew_in_the_other(pools: Pools) -> None:
    """The tag says `serving` and names nobody: that is the other pool's word, and opens no gate here."""
    pools.b.operator.freeze("an incident")
    pools.registry.promote("m", "2")
    pools.run()
    assert pools.a.status_tag("2") == "serving"
    pools.b.approval.add("m")
    pools.b.operator.freeze("")
    pools.run()
    assert (pools.b.routed(), pools.b.line().phase) == ("1", Phase.APPROVAL)
    assert pools.a.status_tag("2") == "serving (pool a); waiting for approval (pool b)"
    pools.b.records.rollouts.clear()
    pools.start()
    pools.run()
    assert (pools.b.routed(), pools.b.line().phase) == ("1", Phase.APPROVAL)


@pytest.mark.parametrize("serves", [False, True])
def test_a_new_claim_tries_what_another_pool_refused(serves: bool) -> None:
    """Whether the other pool has something loaded or not; that one still knows its refusal when all memory is lost."""
    pools = Pools()
    if serves:
        pools.registry.promote("m", "1")
        pools.run(only=pools.a)
    pools.a.world["/m/2"].broken = "no memory"
    pools.registry.promote("m", "2")
    pools.run(only=pools.a)
    assert pools.a.status_tag("2").startswith("refused: no memory")
    pools.run()
    assert pools.b.routed() == "2"
    pools.a.world["/m/2"].broken = ""
    for site in (pools.a, pools.b):
        site.records.rollouts.clear()
    pools.start()
    pools.run()
    assert pools.a.line().phase == Phase.REFUSED
    assert pools.b.routed() == "2"
