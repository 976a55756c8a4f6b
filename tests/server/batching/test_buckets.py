"""Which lengths meet: by what was measured, and by powers of two where nothing was."""

from __future__ import annotations

import pytest

from fairlead_server.batching.buckets import LONGEST, Buckets, measured


def table(fixed: float, each: float, lengths: tuple[int, ...] = (8, 16, 32, 64)) -> dict[int, dict[int, float]]:
    """Runs that cost something fixed and something for each place."""
    return {length: {rows: fixed + each * rows * length for rows in (1, 2, 4)} for length in lengths}


@pytest.mark.parametrize(
    ("fixed", "each", "step"),
    [
        (1000.0, 0.1, 7500),  # the run itself is all that costs: everything meets
        (1700.0, 90.0, 14),  # an encoder on few cores: only like lengths do
        (1000.0, 0.0, LONGEST),
        (0.0, 90.0, 1),
    ],
)
def test_filling_up_costs_no_more_than_sharing_saves(fixed: float, each: float, step: int) -> None:
    """Three quarters of a run's fixed cost, in places."""
    assert measured(table(fixed, each)) == pytest.approx(step, abs=1)


def test_measurements_that_vary_change_little() -> None:
    """Each run a third longer or not, in turn; the line through all of them hardly moves."""
    varied = {
        length: {rows: cost * (1.3 if (rows + length // 8) % 2 else 1.0) for rows, cost in row.items()}
        for length, row in table(1700.0, 90.0).items()
    }
    assert 9 <= measured(varied) <= 19


@pytest.mark.parametrize("tables", [{}, {8: {1: 1.0, 4: 2.0}}, {8: {2: 1.0}, 16: {1: 2.0}}, {8: {1: 0.0, 2: 0.0}}])
def test_too_little_says_nothing(tables: dict[int, dict[int, float]]) -> None:
    """Fewer than three sizes of runs, or a clock that saw none."""
    assert measured(tables) == 0


def test_powers_of_two_where_too_little_was_measured() -> None:
    """Then at most half of what runs is filled up; length 0 has nobody to meet."""
    assert [Buckets().of(length) for length in (0, 1, 2, 3, 4, 5, 9, 33)] == [0, 1, 2, 4, 4, 8, 16, 64]


def test_every_length_has_one_bucket() -> None:
    """As wide as the step, and an eighth wide where that is more; beyond all sense each length has its own."""
    buckets = Buckets(10)
    assert [buckets.of(length) for length in (0, 1, 10, 11, 80, 81, 90, 91, 101)] == [
        0,
        10,
        10,
        20,
        80,
        90,
        90,
        101,
        101,
    ]
    assert [Buckets(1).of(length) for length in (1, 2, 15, 17, 18, 19)] == [1, 2, 15, 18, 18, 20]
    assert Buckets(5000).of(512) == 5000
    assert Buckets(7).of(LONGEST + 5) == LONGEST + 5


@pytest.mark.parametrize("step", [5000, 0])
def test_a_bucket_ends_with_what_was_measured(step: int) -> None:
    """So that its longest length has a place in the table."""
    assert [Buckets(step, 100).of(length) for length in (90, 100, 101)] == [100, 100, step or 128]
