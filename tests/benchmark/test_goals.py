"""The goals' table: each is worded, judged, and titled."""

from __future__ import annotations

import pytest

from benchmark.goals import GOALS, PEERS, TITLES, Goal, judge, text


@pytest.mark.parametrize(
    ("goal", "value", "reference", "met"),
    [
        (Goal("m", "at least", 6, PEERS), 600.0, 100.0, True),
        (Goal("m", "at least", 6, PEERS), 599.0, 100.0, False),
        (Goal("m", "at most", 0.4, PEERS), 0.4, 1.0, True),
        (Goal("m", "at most", 0.4, PEERS), 0.41, 1.0, False),
        (Goal("m", "at least", 1, PEERS, strict=True), 100.0, 100.0, False),
        (Goal("m", "at least", 1, PEERS, strict=True), 101.0, 100.0, True),
        (Goal("m", "at most", 0), 0.0, 1.0, True),
        (Goal("m", "at most", 0), 1.0, 1.0, False),
        (Goal("m", "at least", 6, PEERS), 600.0, None, None),
    ],
)
def test_a_goal_is_met_by_its_bound_and_undecided_without_a_reference(
    goal: Goal, value: float, reference: float | None, met: bool | None
) -> None:
    assert judge(goal, value, reference) is met


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (Goal("m", "at least", 6, PEERS), "at least 6 times the best peer"),
        (Goal("m", "at least", 1, PEERS, strict=True), "more than the best peer"),
        (Goal("m", "at most", 50), "at most 50 ms"),
        (Goal("m", "at most", 1, parts=("p99 quiet", "warm-up run")), "at most p99 quiet + warm-up run"),
        (Goal("m", "at least", 0.9, parts=("capacity",)), "at least 0.9 times capacity"),
    ],
)
def test_a_goal_is_told_as_a_person_says_it(goal: Goal, words: str) -> None:
    assert text(goal, "ms") == words


def test_every_goal_is_about_a_row_that_there_is() -> None:
    assert {goal.measure for goal in GOALS} <= set(TITLES)


def test_no_two_goals_are_the_same() -> None:
    keys = [(goal.measure, goal.part, goal.subject, goal.against) for goal in GOALS]
    assert len(keys) == len(set(keys))
