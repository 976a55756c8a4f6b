"""Which lengths meet: by what was measured, and by powers of two where nothing was."""

from __future__ import annotations

import pytest

from fairlead_server.batching.buckets import Buckets, measured


def table(fixed: float, each: float, lengths: tuple[int, ...] = (8, 16, 32, 64)) -> dict[int, dict[int, float]]:
    """Runs that cost something fixed and something for each place."""
    return {length: {rows: fixed + each * rows * length for rows in (1, 2, 4, 8)} for length in lengths}


@pytest.mark.parametrize(
    ("fixed", "each", "tops"),
    [
        (1000.0, 0.1, (64,)),  # the run itself is all that costs: everything meets
        (2000.0, 180.0, (10, 19, 28, 37, 46, 55, 64)),  # an encoder on few cores: only like lengths do
        (2000.0, 30.0, (13, 64)),  # and a small one
    ],
)
def test_the_shortest_of_a_bucket_gains_too(fixed: float, each: float, tops: tuple[int, ...]) -> None:
    """A quarter of a run of four at the top takes no longer than the shortest alone, or lengths are nearly equal."""
    assert measured(table(fixed, each)).tops == tops


def test_every_length_has_one_bucket() -> None:
    """The least top that it fits under; length 0 has nobody to meet; beyond the measured ones powers of two."""
    buckets = Buckets((20, 50))
    assert [buckets.of(length) for length in (0, 1, 20, 21, 50, 51, 64, 65)] == [0, 20, 20, 50, 50, 64, 64, 128]


@pytest.mark.parametrize(
    "tables", [{}, {8: {1: 1.0, 4: 2.0}}, {8: {1: 1.0}, 16: {1: 2.0}}, {8: {4: 1.0}, 16: {4: 2.0}}]
)
def test_powers_of_two_where_too_little_was_measured(tables: dict[int, dict[int, float]]) -> None:
    """Then at most half of what runs is filled up."""
    buckets = measured(tables)
    assert [buckets.of(length) for length in (0, 1, 2, 3, 4, 5, 9, 33)] == [0, 1, 2, 4, 4, 8, 16, 64]


def test_odd_measurements_still_give_buckets() -> None:
    """Two rows measured slower than two alone, or a longer run faster than a shorter one: there is always progress."""
    slow = {length: {1: 1.0, 2: 9.0, 4: 99.0} for length in (8, 64)}
    for strange in (slow, {8: {1: 9.0, 2: 9.0}, 64: {1: 1.0, 2: 1.0}}, {8: {1: 0.0, 3: 0.0}, 64: {1: 0.0, 4: 0.0}}):
        tops = measured(strange).tops
        assert tops == tuple(sorted(set(tops)))
        assert tops[-1] == 64
