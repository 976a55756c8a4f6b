"""Figures become rows: medians, spread, the best peer of the run, and whether goals are met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from benchmark.figures import Figure, Row
from benchmark.rows import rows_of, with_causes
from benchmark.subject import Role

ROLES: dict[str, Role] = {"fairlead": "fairlead", "slow": "peer", "fast": "peer", "gRPC constant": "limit"}


def figure(
    measure: str, subject: str, value: float, part: str = "", better: Literal["more", "less"] = "more", unit: str = "u"
) -> Figure:
    return Figure(measure, subject, value, unit, better, part=part)


def judged(*figures: Figure) -> list[Row]:
    return [row for row in rows_of(figures, ROLES) if row.goal]


def three(measure: str, subject: str, values: Sequence[float]) -> list[Figure]:
    return [figure(measure, subject, value) for value in values]


def test_a_row_is_the_median_of_its_rounds_and_keeps_them() -> None:
    (row,) = rows_of(three("pipeline-json", "fairlead", [30, 10, 20]), ROLES)
    assert (row.value, row.rounds) == (20, (30, 10, 20))


def test_a_ratio_is_to_the_best_peer_of_the_run() -> None:
    figures = [figure("tiny-json-c32", who, value) for who, value in (("fairlead", 700), ("slow", 50), ("fast", 100))]
    (row,) = judged(*figures)
    assert (row.against, row.ratio, row.met) == ("fast", 7.0, True)


def test_the_best_peer_is_the_one_with_the_least_where_less_is_better() -> None:
    values = (("fairlead", 0.3), ("slow", 3.0), ("fast", 1.0))
    (row,) = judged(*(figure("tiny-json-c1", who, value, better="less") for who, value in values))
    assert (row.against, row.ratio, row.met) == ("fast", pytest.approx(0.3), True)


def test_a_limit_is_no_peer() -> None:
    (row,) = judged(figure("tiny-json-c32", "fairlead", 600), figure("tiny-json-c32", "gRPC constant", 9000))
    assert (row.against, row.ratio, row.met) == ("", None, None)


def test_a_figure_with_two_goals_has_two_rows() -> None:
    values = (("fairlead", 700), ("fast", 600), ("gRPC constant", 1000))
    rows = judged(*(figure("mlp-grpc-c32", who, value) for who, value in values))
    assert [(row.against, row.met) for row in rows] == [("fast", True), ("gRPC constant", False)]


def test_a_variant_of_fairlead_is_judged_against_fairlead() -> None:
    (row,) = judged(figure("engine-ray", "fairlead", 100), figure("engine-ray", "fairlead, Ray", 96))
    assert (row.subject, row.against, row.ratio, row.met) == ("fairlead, Ray", "fairlead", 0.96, True)


def test_a_bound_can_be_the_sum_of_other_parts() -> None:
    parts = (("p99 quiet", 4.0), ("warm-up run", 5.0), ("p99, the same model", 9.5))
    (row,) = judged(*(figure("load-under-load", "fairlead", value, part, "less") for part, value in parts))
    assert (row.against, row.ratio, row.met) == ("p99 quiet + warm-up run", pytest.approx(9.5 / 9), False)


def test_losses_are_judged_by_the_worst_round() -> None:
    rounds = [figure("load-under-load", "fairlead", lost, "lost, the same model", "less") for lost in (0, 0, 1)]
    (row,) = judged(*rounds)
    assert (row.value, row.met) == (1, False)


def test_what_has_no_goal_is_told_beside_the_best_peer() -> None:
    fairlead, *_ = rows_of([figure("pipeline-json", "fairlead", 30), figure("pipeline-json", "fast", 10)], ROLES)
    assert (fairlead.goal, fairlead.met, fairlead.against, fairlead.ratio) == ("", None, "fast", 3.0)


def test_a_variant_without_a_goal_is_told_beside_fairlead() -> None:
    one, two = rows_of([figure("workers", "fairlead", 30), figure("workers", "fairlead, 2 workers", 45)], ROLES)
    assert (one.ratio, two.against, two.ratio) == (None, "fairlead", 1.5)


def test_rows_stand_in_the_reports_order() -> None:
    figures = [figure(measure, "fairlead", 1) for measure in ("ready-ray", "tiny-json-c32", "overload")]
    assert [row.measure for row in rows_of(figures, ROLES)] == ["tiny-json-c32", "overload", "ready-ray"]


def test_a_cause_is_told_beside_a_missed_goal_alone() -> None:
    values = [("tiny-json-c32", "fairlead", 500.0), ("tiny-json-c32", "fast", 100.0), ("ready-edge", "fairlead", 2.0)]
    rows = rows_of([figure(*value, better="less" if value[0] == "ready-edge" else "more") for value in values], ROLES)
    causes = {"tiny-json-c32": "in the parser", "ready-edge": "in the imports"}
    assert [row.cause for row in with_causes(rows, causes)] == ["in the parser", "", ""]
