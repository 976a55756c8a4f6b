"""The picture is well-formed, and its bars are the figures."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmark.figures import Row
from benchmark.picture import PANELS, svg
from benchmark.results import Described, Results

NAMESPACE = "{http://www.w3.org/2000/svg}"


def row(subject: str, value: float, measure: str = "tiny-json-c32", unit: str = "requests/s") -> Row:
    return Row(measure, "", subject, value, unit, (value,))


def results(*rows: Row) -> Results:
    subjects = (
        Described("fairlead", "fairlead", ""),
        Described("slow", "peer", ""),
        Described("R&D <fast>", "peer", ""),
        Described("constant", "limit", ""),
    )
    return Results("2026-01-02", {"rounds": "3"}, {"cores": "2", "processor": "A & B"}, subjects, rows)


def bars(found: Results) -> list[tuple[str | None, float]]:
    """Class and width of each, from top to bottom."""
    tree = ElementTree.fromstring(svg(found))
    return [
        (one.get("class"), float(one.get("width", "0")))
        for one in tree.iter(f"{NAMESPACE}rect")
        if one.get("class") != "page"
    ]


def texts(found: Results) -> list[str | None]:
    return [one.text for one in ElementTree.fromstring(svg(found)).iter(f"{NAMESPACE}text")]


def test_fairlead_is_first_then_peers_from_the_best_then_limits() -> None:
    found = results(row("constant", 2000), row("slow", 100), row("R&D <fast>", 200), row("fairlead", 1000))
    assert [kind for kind, _ in bars(found)] == ["fairlead", "peer", "peer", "limit"]
    assert [name for name in texts(found) if name in {"slow", "R&D <fast>"}] == ["R&D <fast>", "slow"]


def test_lengths_are_in_proportion_from_zero() -> None:
    (_, first), (_, second), (_, third) = bars(results(row("fairlead", 1000), row("slow", 250), row("constant", 2000)))
    assert (first / third, second / third) == pytest.approx((0.5, 0.125), abs=0.001)


def test_where_less_is_better_the_least_peer_is_the_best() -> None:
    values = (("fairlead", 0.2), ("slow", 3.0), ("R&D <fast>", 1.0))
    found = results(*(row(who, value, "tiny-json-c1", "ms") for who, value in values))
    assert [name for name in texts(found) if name in {"slow", "R&D <fast>"}] == ["R&D <fast>", "slow"]
    assert "less is better" in texts(found)


def test_what_was_not_measured_has_no_panel() -> None:
    assert bars(results()) == []
    everything = results(*(row("fairlead", 1.0, name) for name in PANELS))
    assert len(bars(everything)) == len(PANELS)


def test_a_long_name_is_cut_and_not_drawn_over_its_neighbour() -> None:
    found = Results("2026-01-02", {}, {}, (Described("n" * 60, "peer", ""),), (row("n" * 60, 1.0),))
    assert "n" * 25 + "…" in texts(found)


def test_it_needs_nothing_from_elsewhere() -> None:
    text = svg(results(row("fairlead", 1.0)))
    assert "prefers-color-scheme: dark" in text
    assert not any(word in text for word in ("<script", "href", "@import", "url("))
