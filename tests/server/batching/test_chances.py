"""How likely a run is to end in time, by values."""

from __future__ import annotations

import pytest

from fairlead_server.batching.chances import Seconds


def ten(rows: int) -> float:
    return 10.0


@pytest.mark.parametrize(
    ("deadline", "scatter", "chance"),
    [
        (110.0, 0.0, 1.0),  # runs do as they are told: just in time
        (109.9, 0.0, 0.0),
        (110.0, 0.2, 0.5),  # as often longer as shorter
        (112.2, 0.2, 0.841),  # one standard deviation of time more
        (108.2, 0.2, 0.159),
        (112.2, 0.4, 0.691),  # the same time says less where runs scatter more
        (100.0, 0.4, 0.0),  # has passed
        (99.0, 0.4, 0.0),
        (500.0, 0.4, 1.0),
    ],
)
def test_the_chance_to_be_in_time(deadline: float, scatter: float, chance: float) -> None:
    """Of a run that is expected to take ten seconds, begun at 100."""
    assert Seconds(ten, scatter).chance(deadline, 100.0, 10.0) == pytest.approx(chance, abs=0.002)


def test_a_run_that_costs_nothing_is_in_time() -> None:
    """Unknown lengths count as nothing."""
    assert Seconds(lambda rows: None, 0.3).chance(100.0, 100.0, 0.0) == 1.0


def test_what_five_in_six_do_not_exceed() -> None:
    """One standard deviation of the logarithm; the expectation itself where nothing scatters."""
    likely = Seconds(ten, 0.2).likely(10.0)
    assert Seconds(ten, 0.2).chance(100.0 + likely, 100.0, 10.0) == pytest.approx(5 / 6, abs=0.01)
    assert Seconds(ten).likely(10.0) == 10.0


@pytest.mark.parametrize(
    ("fixed", "each", "rows", "enough"),
    [
        (0.0, 0.02, 64, 1),  # a run of two costs twice as much: nothing is gained
        (0.0, 0.004, 64, 8),  # but for what stands around a run
        (0.002, 0.02, 64, 4),
        (0.01, 0.001, 64, 64),  # each further row makes all of them cheaper
        (0.01, 0.001, 5, 5),
        (0.0, 0.02, 1, 1),
    ],
)
def test_how_many_rows_are_enough(fixed: float, each: float, rows: int, enough: int) -> None:
    """Where more of them would cost each hardly less, in seconds."""
    assert Seconds(lambda count: fixed + each * count).enough(rows) == enough
