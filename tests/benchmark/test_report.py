"""What a person reads, from results made by hand."""

from __future__ import annotations

import pytest

from benchmark.figures import Row
from benchmark.report import markdown, number
from benchmark.results import Described, Results

MISSED = Row(
    "tiny-json-c32", "", "fairlead", 500.0, "requests/s", (400.0, 500.0, 600.0), "slow", 5.0,
    "at least 6 times the best peer", False, "wrk took 0.50 cores", "the parser takes two thirds",
)  # fmt: skip
TOLD = Row("memory", "each model", "fairlead", 0.0012345, "MB", (0.0012345,))
PEER = Row("tiny-json-c32", "", "slow", 100.0, "requests/s", (100.0,), note="a | b")
RESULTS = Results(
    date="2026-01-02",
    run={"rounds": "3"},
    machine={"cores": "2"},
    subjects=(Described("fairlead", "fairlead", "shipped defaults"), Described("slow", "peer", "threads=2 | tuned")),
    rows=(MISSED, PEER, TOLD),
    failures=("kserve: ended with status 1:\n  Traceback",),
)


def lines() -> list[str]:
    return markdown(RESULTS).splitlines()


def test_a_goal_stands_with_what_it_is_compared_with() -> None:
    assert (
        "| tiny, HTTP JSON, 32 connections | 500 requests/s | slow: 100 requests/s | 5.00 "
        "| at least 6 times the best peer | **no** |"
    ) in lines()


def test_a_missed_goal_has_its_cause_below_the_table() -> None:
    told = "- tiny, HTTP JSON, 32 connections (at least 6 times the best peer): the parser takes two thirds"
    assert told in lines()


def test_a_measure_without_a_goal_is_told() -> None:
    assert "| memory of a replica: each model | 0.00123 MB |  |  |  | told |" in lines()


def test_all_figures_have_their_spread_and_note() -> None:
    assert (
        "| tiny, HTTP JSON, 32 connections | fairlead | 500 requests/s | 400 to 600 | wrk took 0.50 cores |" in lines()
    )


def test_a_bar_in_a_text_does_not_break_its_table() -> None:
    assert "| tiny, HTTP JSON, 32 connections | slow | 100 requests/s |  | a \\| b |" in lines()
    assert "| slow | peer | threads=2 \\| tuned |" in lines()


def test_what_was_not_measured_is_a_line_each() -> None:
    assert lines()[-1] == "- kserve: ended with status 1: Traceback"


def test_a_report_without_failures_has_no_such_heading() -> None:
    found = Results("2026-01-02", {}, {}, (), ())
    assert "not measured" not in markdown(found)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (0.12345, "0.123"),
        (7.0, "7"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (90500.0, "90,500"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, told: str) -> None:
    assert number(value) == told
