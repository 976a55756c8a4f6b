"""What a run will take, between what was measured."""

from __future__ import annotations

import pytest

from fairlead_server.models.latency import of_length, of_rows
from fairlead_server.models.profile import Profile

ROWS = {1: 10.0, 2: 12.0, 4: 20.0}
LENGTHS = {8: {1: 10.0, 4: 16.0}, 16: {1: 20.0, 4: 40.0}}


@pytest.mark.parametrize(("rows", "us"), [(1, 10.0), (2, 12.0), (3, 16.0), (4, 20.0), (8, 40.0), (0, 10.0)])
def test_rows(rows: int, us: float) -> None:
    """Measured, on the line between two sizes, at the last one's price for each row, never below the first."""
    assert of_rows(ROWS, rows) == us


@pytest.mark.parametrize(
    ("rows", "length", "us"),
    [(1, 8, 10.0), (1, 12, 15.0), (2, 8, 12.0), (4, 12, 28.0), (1, 1, 10.0), (8, 16, 80.0), (1, 17, None)],
)
def test_lengths(rows: int, length: int, us: float | None) -> None:
    """On the line between two lengths, and nothing is said beyond the longest."""
    assert of_length(LENGTHS, rows, length) == us


def test_what_was_not_measured_is_unknown() -> None:
    """No table, no word; a length counts only where lengths were measured."""
    assert of_rows({}, 1) is None
    assert of_length({8: {}}, 1, 8) is None
    profile = Profile(latency_us=ROWS, latency_by_length=LENGTHS)
    assert (profile.microseconds(3), profile.microseconds(1, 12)) == (16.0, 15.0)
    assert Profile(latency_us=ROWS).microseconds(1, 8) is None
