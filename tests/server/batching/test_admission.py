"""What is refused at once: by values, a line each."""

from __future__ import annotations

import pytest

from fairlead_server.batching.admission import Ahead, Inflow, end_of, refusal
from fairlead_server.batching.chances import Seconds
from fairlead_server.errors import Kind

NOW = 100.0


# A run of one row takes 10 ms, and each further row 1 ms; or 10 ms more, where sharing a run gains nothing.
seconds = Seconds(lambda rows: 0.009 + rows * 0.001)
dear = Seconds(lambda rows: rows * 0.010)


@pytest.mark.parametrize(
    ("rows", "ahead", "took"),
    [
        (1, Ahead(NOW), 0.010),
        (4, Ahead(NOW), 0.013),
        (1, Ahead(NOW + 0.005), 0.015),  # something runs
        (1, Ahead(NOW, rows=3), 0.013),  # they share the run
        (1, Ahead(NOW, rows=8), 0.017 + 0.010),  # a full run goes first
        (20, Ahead(NOW), 2 * 0.017 + 0.013),  # in chunks of eight
        (1, Ahead(NOW, others_s=0.03), 0.040),
        (1, Ahead(NOW, others_s=0.03, instances=3), 0.020),
        (1, Ahead(NOW + 0.010, rate=200.0), 0.010 + 0.012),  # two more will have come when it starts
        (1, Ahead(NOW + 0.010, rate=1e6), 0.010 + 0.017),  # and never more than fit
    ],
)
def test_when_a_request_is_answered(rows: int, ahead: Ahead, took: float) -> None:
    """With eight rows to a run."""
    assert end_of(rows, 8, ahead, NOW, seconds) == pytest.approx(NOW + took)


def test_the_queues_fault_is_a_reason_to_come_again() -> None:
    """OVERLOADED, with the time after which it would be met, and with what was predicted and asked."""
    error = refusal(1, NOW + 0.02, 8, Ahead(NOW + 0.05), NOW, seconds)
    assert error is not None
    assert (error.kind, error.retry_after) == (Kind.OVERLOADED, pytest.approx(0.04))
    assert "predicted in 60 ms, and its deadline is in 20 ms" in error.message


def test_a_run_that_is_too_long_by_itself_is_not() -> None:
    """DEADLINE: coming again would not help."""
    error = refusal(1, NOW + 0.005, 8, Ahead(NOW + 0.05), NOW, seconds)
    assert error is not None
    assert (error.kind, error.retry_after) == (Kind.DEADLINE, None)
    assert "alone is predicted to take 10 ms, and its deadline is in 5 ms" in error.message


def test_what_can_be_met_and_what_nobody_knows_comes_in() -> None:
    """No reserve; and an unknown length is no reason to refuse."""
    assert refusal(1, NOW + 0.0101, 8, Ahead(NOW), NOW, seconds) is None
    assert refusal(1, NOW + 0.0001, 8, Ahead(NOW + 9), NOW, Seconds(lambda rows: None)) is None


def test_a_run_that_gains_nothing_does_not_grow() -> None:
    """Seven more rows come until it starts: they make it longer only where they share it."""
    ahead = Ahead(NOW + 0.035, rate=210.0)
    assert refusal(1, NOW + 0.055, 8, ahead, NOW, dear) is None
    assert refusal(1, NOW + 0.051, 8, ahead, NOW, seconds) is not None
    assert refusal(1, NOW + 0.044, 8, ahead, NOW, dear) is not None


def test_the_rate_of_arrivals_follows_what_comes() -> None:
    """Within a few times the 50 ms that it looks back."""
    inflow, entered = Inflow(), 0
    for at in range(1, 400):
        entered += 10 if at < 200 else 1
        inflow.sample(entered, at / 1000)
        if at == 199:
            assert inflow.rate == pytest.approx(10_000, rel=0.1)
    assert inflow.rate == pytest.approx(1000, rel=0.3)
