import json

import pytest

from fairlead_cli.demo.figures import Answer, Switch, Truth
from fairlead_cli.demo.report import HEAD, Outcome, Refusal, document, row, summary

TRUTH = Truth(digits=[7], labels={"1": [3], "2": [7]}, ready={"1": 0.5, "2": 2.0})
FIRST = [Answer("http", 0, 1.0, 1.002, "1", 3), Answer("grpc", 0, 2.0, 2.004, "1", 3)]
SECOND = [Answer("http", 0, 3.0, 3.002, "2", 7)]
LOST = Answer("grpc", 0, 4.0, 5.0, error="StatusCode.UNAVAILABLE")
SWITCH = Switch("2", 2.5, 0.1, 0.3, 0.34)


def outcome(*more: Answer) -> Outcome:
    return Outcome([*FIRST, *SECOND, *more], TRUTH, [SWITCH], [Refusal("3", "the file is cut short")])


def test_all_answered_and_right_is_good() -> None:
    """The exit status 0 of the demo."""
    assert outcome().good


@pytest.mark.parametrize("bad", [LOST, Answer("http", 0, 1.0, 1.5, "2", 7), Answer("http", 0, 3.0, 3.1, "1", 7)])
def test_one_bad_answer_is_enough(bad: Answer) -> None:
    """Lost, from a version not ready yet, or another digit than the version's own."""
    assert not outcome(bad).good


def test_no_answer_at_all_is_not_good() -> None:
    """A demo without traffic has shown nothing."""
    assert not Outcome([], TRUTH, [], []).good


def test_the_document_holds_the_figures() -> None:
    """What `--summary` writes, as JSON without NaN."""
    told = document(outcome(LOST))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["requests"], told["lost"], told["wrong"]) == (4, 1, 0)
    assert told["by_version"]["1"] == {"requests": 2, "accuracy": 0.0, "p50_ms": 2.0, "p99_ms": 4.0}
    assert told["refused"] == [{"version": "3", "reason": "the file is cut short"}]
    assert told["switches"][0]["first_answer_s"] == 0.3


def test_the_summary_tells_a_person_the_same() -> None:
    """Versions, switches, refusals, and the causes of what was lost or wrong."""
    told = summary(outcome(LOST, Answer("http", 0, 3.0, 3.1, "1", 7)))
    assert "version 2 was ready 0.1 s after its promotion, answered 0.20 s later, and for 40 ms beside" in told
    assert "version 3 was refused: the file is cut short" in told
    assert "5 requests, 1 lost, 1 wrong" in told
    assert "lost (1): StatusCode.UNAVAILABLE" in told
    assert "wrong (1): sample 0: version 1 by itself answers another digit" in told


def test_a_row_tells_who_answers_and_at_what_rate() -> None:
    """Two versions with their shares while the traffic moves; columns below their heads."""
    shown = row(12.0, [*FIRST, *SECOND], 2.0, TRUTH.digits, 0)
    assert "version 1 67%, version 2 33%" in shown
    assert len(shown) == len(HEAD)
    assert shown.split()[-7:] == ["33%", "1", "0", "33.3%", "2.0", "4.0", "0"]


def test_a_row_without_answers_says_so() -> None:
    """Dashes, not zeros."""
    assert row(12.0, [], 2.0, [0], 3).split() == ["12", "s", "nobody", "0", "0", "-", "-", "-", "3"]
