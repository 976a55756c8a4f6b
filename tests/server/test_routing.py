"""The pure choice of a version."""

from __future__ import annotations

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.models.catalog import Match, Route, Sticky
from fairlead_server.routing import choose

NOTHING: dict[str, str] = {}


def chosen(
    route: Route, draw: float = 0.0, headers: dict[str, str] = NOTHING, parameters: dict[str, str] = NOTHING
) -> str | None:
    return choose(route, draw, headers.get, parameters.get, "churn")


@pytest.mark.parametrize(
    ("draw", "version"),
    [(0.0, "3"), (0.8999, "3"), (0.9001, "4"), (0.999999999, "4")],
)
def test_the_draw_falls_into_the_weights(draw: float, version: str) -> None:
    """Weights are relative shares of [0, 1), in the route's order."""
    assert chosen(Route({"3": 9.0, "4": 1.0}), draw) == version


@pytest.mark.parametrize("weights", [{}, {"3": 0.0}, {"3": 0.0, "4": 0.0}])
def test_no_weight_is_no_version(weights: dict[str, float]) -> None:
    """A route without any weight above zero sends a request nowhere, sticky or not."""
    assert chosen(Route(weights), 0.5) is None
    assert chosen(Route(weights, Sticky(header="x-user")), 0.5, {"x-user": "ann"}) is None


@given(
    st.dictionaries(st.text(max_size=3), st.floats(0, 1e9), min_size=1, max_size=5),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.text(),
)
def test_a_version_without_weight_is_never_chosen(weights: dict[str, float], draw: float, key: str | None) -> None:
    """Whatever the draw or the key, the choice has a weight above zero, and there is one if any has."""
    headers = {"x-user": key} if key is not None else {}
    version = chosen(Route(weights, Sticky(header="x-user")), draw, headers)
    if version is None:
        assert all(weight == 0 for weight in weights.values())
    else:
        assert weights[version] > 0


def test_the_first_match_wins_over_weights_and_sticky() -> None:
    """A header or parameter with the exact value decides; another value does not."""
    matches = (Match("4", "beta", header="x-group"), Match("5", "eu", parameter="region"))
    route = Route({"3": 1.0}, Sticky(header="x-user"), matches)
    assert chosen(route, headers={"x-group": "beta", "x-user": "ann"}, parameters={"region": "eu"}) == "4"
    assert chosen(route, parameters={"region": "eu"}) == "5"
    assert chosen(route, headers={"x-group": "Beta"}) == "3"


def test_a_sticky_key_decides_and_a_missing_one_draws() -> None:
    """The same key gets the same version whatever is drawn; a request without the key draws."""
    route = Route({"3": 0.5, "4": 0.5}, Sticky(header="x-user", parameter="user"))
    by_header = {chosen(route, draw / 10, {"x-user": "ann"}) for draw in range(10)}
    by_parameter = {chosen(route, draw / 10, {}, {"user": "ann"}) for draw in range(10)}
    assert len(by_header) == 1
    assert by_parameter == by_header
    assert {chosen(route, draw / 10) for draw in range(10)} == {"3", "4"}


def test_the_choice_for_a_key_is_the_same_in_every_process_and_release() -> None:
    """The hash is part of the contract between workers and replicas: these rows must never change."""
    route = Route({"3": 0.5, "4": 0.5}, Sticky(header="x-user"))
    assert [chosen(route, 0.0, {"x-user": name}) for name in ("ann", "bob", "cy", "dee", "eve", "")] == PINNED


PINNED = ["4", "3", "3", "4", "3", "3"]


def test_sticky_shares_follow_the_weights() -> None:
    """Over many keys each version gets its share."""
    route = Route({"3": 0.7, "4": 0.2, "5": 0.1}, Sticky(header="x-user"))
    count = collections.Counter(chosen(route, 0.0, {"x-user": f"user-{number}"}) for number in range(20_000))
    for version, weight in route.weights.items():
        assert count[version] / 20_000 == pytest.approx(weight, abs=0.015)


@given(
    st.dictionaries(st.sampled_from("34567"), st.floats(0.01, 1), min_size=2),
    st.floats(1, 10),
    st.text(),
    st.data(),
)
def test_a_growing_weight_moves_nobody_who_was_there(
    weights: dict[str, float], growth: float, key: str, data: st.DataObject
) -> None:
    """Whoever was in the 10 % is still there at 20 %, whichever version grows, and nobody else changes places."""
    grown = data.draw(st.sampled_from(sorted(weights)))
    sticky = Sticky(header="x-user")
    before = chosen(Route(weights, sticky), 0.0, {"x-user": key})
    after = chosen(Route({**weights, grown: weights[grown] * growth}, sticky), 0.0, {"x-user": key})
    assert after in (before, grown)
    if before == grown:
        assert after == grown


def test_the_first_users_differ_from_model_to_model() -> None:
    """The salt keeps one caller from being among the first of every model."""
    route = Route({"3": 0.9, "4": 0.1}, Sticky(header="x-user"))
    users = [f"user-{number}" for number in range(1000)]
    first = {u for u in users if choose(route, 0.0, {"x-user": u}.get, NOTHING.get, "churn") == "4"}
    second = {u for u in users if choose(route, 0.0, {"x-user": u}.get, NOTHING.get, "fraud") == "4"}
    assert len(first & second) < len(first) / 2
