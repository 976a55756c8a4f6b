"""Overload, and a small model beside a big one: what is asked for, and that the goals' parts are what is measured."""

from __future__ import annotations

import pytest

from benchmark.figures import Load
from benchmark.goals import GOALS, TITLES
from benchmark.measures.beside import BIG, SMALL, Beside
from benchmark.measures.overload import DEADLINE, DEADLINE_MS, LESS, MODEL, MORE, Overload, _figures
from benchmark.measures.registry import ENTRIES, needs

LOAD = Load("vegeta", 10.0, 1000, 800, {"503": 200}, 80.0, 20.0, 49.0, 60.0, 61.0, late=40, goodput=76.0)


def test_goodput_and_the_share_in_time_are_the_clients_count() -> None:
    """Good answers that were late are in neither; refused requests are sent ones."""
    figures = {figure.part: figure.value for figure in (*_figures("s", MORE, LOAD), *_figures("s", LESS, LOAD))}
    assert figures == {"goodput at 2.0": 76.0, "in time at 2.0": 76.0, "in time at 0.8": 76.0}


def test_the_goals_name_parts_that_are_measured() -> None:
    """Else they would never be judged."""
    wanted = {part for goal in GOALS if goal.measure == "overload" for part in (goal.part, *goal.parts)}
    assert wanted == {"capacity", "goodput at 2.0", "in time at 0.8"}
    assert {"overload", "beside"} <= TITLES.keys()


def test_the_deadline_is_told_in_microseconds() -> None:
    """Triton's parameter."""
    assert DEADLINE == {"timeout": DEADLINE_MS * 1000}


@pytest.mark.parametrize(("measure", "models"), [(Overload, {MODEL}), (Beside, {SMALL, BIG})])
def test_they_can_be_asked_for(measure: type, models: set[str]) -> None:
    """By the rows' names, with their models."""
    (name,) = measure.names
    (entry,) = [entry for entry in ENTRIES if name in entry.names]
    assert isinstance(entry.make(entry.names), measure)
    assert needs(name) == models
