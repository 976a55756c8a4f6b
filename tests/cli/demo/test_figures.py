import math

import pytest

from fairlead_cli.demo.figures import Answer, Truth, add_up, by_version, percentile, switch


def answer(version: str = "1", *, due: float = 0.0, ms: float = 5.0, label: int = 0, error: str = "") -> Answer:
    return Answer("http", 0, due, due + ms / 1000, "" if error else version, label, error)


TRUTH = Truth(digits=[0, 1], labels={"1": [0, 1], "2": [0, 2]}, ready={"1": 10.0})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Answer("grpc", 1, 11.0, 11.1, "1", 1), ""),
        (Answer("grpc", 1, 9.0, 9.1, "1", 1), "version 1 answered and was not ready"),
        (Answer("grpc", 1, 11.0, 11.1, "2", 2), "version 2 answered and was not ready"),
        (Answer("grpc", 1, 11.0, 11.1, "", 1), "version  answered and was not ready"),
        (Answer("grpc", 1, 11.0, 11.1, "1", 2), "sample 1: version 1 by itself answers another digit"),
    ],
)
def test_an_answer_is_held_against_the_truth(given: Answer, why: str) -> None:
    """Right only from a version that was ready by then, and with that version's own digit."""
    assert TRUTH.wrong(given) == why


def test_a_wrong_digit_of_an_honest_version_is_no_wrong_answer() -> None:
    """Accuracy is the model's business: version 2 mistakes the second sample by itself."""
    truth = Truth(digits=[0, 1], labels={"2": [0, 2]}, ready={"2": 1.0})
    given = Answer("http", 1, 2.0, 2.1, "2", 2)
    assert truth.wrong(given) == ""
    assert add_up([given], truth.digits).accuracy == 0.0


def test_a_version_that_nobody_registered_is_wrong() -> None:
    """Even if the pool calls it ready."""
    truth = Truth(digits=[0], labels={}, ready={"9": 1.0})
    assert (
        truth.wrong(Answer("http", 0, 2.0, 2.1, "9", 0))
        == "version 9 answered, and the demo registered no such version"
    )


def test_lost_requests_count_and_have_no_share_in_the_rest() -> None:
    """Accuracy and latency are of the answers that came; latency counts from when a request was due."""
    answers = [answer(ms=2.0), answer(ms=4.0, label=1), answer(ms=9999.0, error="refused")]
    figures = add_up(answers, [0])
    assert (figures.requests, figures.lost, figures.accuracy) == (3, 1, 0.5)
    assert figures.p50_ms == pytest.approx(2.0)
    assert figures.p99_ms == pytest.approx(4.0)


def test_no_answers_have_no_figures() -> None:
    """NaN, and no division by zero."""
    figures = add_up([], [0])
    assert (figures.requests, figures.lost) == (0, 0)
    assert math.isnan(figures.accuracy)
    assert math.isnan(figures.p99_ms)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_percentiles_are_values_that_were_there(percent: float, expected: float) -> None:
    """The nearest rank of 1 to 100."""
    assert percentile([float(value) for value in range(1, 101)], percent) == expected


def test_versions_are_in_order_of_number() -> None:
    """9 before 10; lost requests belong to none."""
    answers = [answer("10"), answer("9"), answer(error="x")]
    assert list(by_version(answers)) == ["9", "10"]


def test_a_switch_is_told_in_seconds_after_the_promotion() -> None:
    """When the new version was ready, first answered, and the old one answered last."""
    answers = [answer(version, due=due, ms=0.0) for version, due in (("1", 9.0), ("1", 13.0), ("2", 12.0), ("2", 20.0))]
    moved = switch("2", 10.0, answers, {"1": 1.0, "2": 11.5})
    assert (moved.ready_s, moved.first_answer_s, moved.last_old_answer_s) == (1.5, 2.0, 3.0)


def test_a_switch_that_did_not_happen_has_no_times() -> None:
    """And what answers before the promotion does not count."""
    moved = switch("2", 10.0, [answer("1", due=11.0), answer("2", due=1.0)], {})
    assert (moved.ready_s, moved.first_answer_s, moved.last_old_answer_s) == (None, None, None)


def test_later_promotions_are_not_this_ones() -> None:
    """Answers of a third version after the second one's last answer are not old ones."""
    answers = [answer("1", due=11.0), answer("2", due=12.0), answer("3", due=15.0)]
    assert switch("2", 10.0, answers, {}).last_old_answer_s == pytest.approx(1.005)
