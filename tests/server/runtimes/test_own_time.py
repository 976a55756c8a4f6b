"""What is taken off for waiting, by clocks that are walked by hand."""

from __future__ import annotations

import pytest

from fairlead_server.runtimes.own_time import PATIENCE, Budget, OwnTime, own_s, waited_s


@pytest.mark.parametrize(
    ("took", "worked", "waited", "threads", "own"),
    [
        (1.0, 1.0, 0.0, 1, 1.0),
        (1.0, 2.0, 0.0, 2, 1.0),
        (3.0, 1.0, 2.0, 1, 1.0),
        (3.0, 2.0, 4.0, 2, 1.0),  # both waited at once
        (3.0, 2.0, 2.0, 2, 1.0),  # one, and the other for it
        (1.5, 0.5, 0.0, 1, 1.5),  # it slept
        (1.0, 1.2, 0.5, 1, 1.0),
    ],
)
def test_own_time(took: float, worked: float, waited: float, threads: int, own: float) -> None:
    """Never more than the clock's, and never less than the work takes."""
    assert own_s(took, worked, waited, threads) == own


def test_a_budget_is_spent_by_its_own_work() -> None:
    """Not by what others do, but for the bound on the clock."""
    now = [0.0]
    budget = Budget(2.0, OwnTime(lambda: now[0], lambda: now[0] / 4, lambda: now[0] * 3 / 4))
    now[0] = 4.0
    assert budget.left() == pytest.approx(1.0)
    now[0] = 4.001  # asked again so soon, the clock counts
    assert budget.left() == pytest.approx(0.999)
    now[0] = 8.0
    assert budget.left() <= 0
    starved = Budget(2.0, OwnTime(lambda: now[0], lambda: 0.0, lambda: now[0]))
    now[0] += 2.0 * PATIENCE - 0.5
    assert starved.left() == pytest.approx(0.5)
    now[0] += 1.0
    assert starved.left() < 0


def test_waiting_is_told_of_living_threads() -> None:
    """In seconds; nothing where the kernel does not say."""
    assert 0.0 <= waited_s() < 1e6
