"""Which requests form the next batch: tables, and what holds for every queue."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.batching.take import Limits, take


@dataclasses.dataclass
class Wait:
    rows: int = 1
    arrived: float = 0.0
    deadline: float | None = None
    alone: bool = False
    gone: bool = False


def rows(*sizes: int) -> list[Wait]:
    return [Wait(size) for size in sizes]


@pytest.mark.parametrize(
    ("queue", "limit", "leaving", "batch"),
    [
        ([], 4, 0, []),
        (rows(1), 4, 1, [0]),
        (rows(1, 1, 1), 4, 3, [0, 1, 2]),
        (rows(1, 1, 1, 1, 1), 4, 4, [0, 1, 2, 3]),
        (rows(3, 2, 1), 4, 1, [0]),  # the second does not fit, and the third does not overtake it
        (rows(2, 2, 1), 4, 2, [0, 1]),
        (rows(9, 1), 4, 1, [0]),  # larger than the limit: by itself
        (rows(1, 9), 4, 1, [0]),
        (rows(1, 1), 1, 1, [0]),
        ([Wait(alone=True), Wait()], 4, 1, [0]),
        ([Wait(), Wait(alone=True)], 4, 1, [0]),
        ([Wait(gone=True), Wait(), Wait(gone=True), Wait()], 4, 4, [1, 3]),
        ([Wait(gone=True)], 4, 1, []),
        ([Wait(gone=True), Wait(4), Wait(gone=True)], 4, 2, [1]),
    ],
)
def test_batches(queue: list[Wait], limit: int, leaving: int, batch: list[int]) -> None:
    """A prefix leaves; of it, those that somebody waits for run, up to the limit of rows."""
    taken = take(queue, Limits(limit), 0.0)
    assert (taken.leaving, taken.batch, taken.late, taken.wake) == (leaving, [queue[at] for at in batch], [], None)


def test_what_is_late_never_runs() -> None:
    """A deadline that has passed costs no run; one that has not is no hindrance."""
    queue = [Wait(deadline=1.0), Wait(deadline=2.0), Wait(deadline=3.0), Wait()]
    taken = take(queue, Limits(8), 2.0)
    assert (taken.leaving, taken.batch, taken.late) == (4, queue[2:], queue[:2])


@pytest.mark.parametrize(
    ("queue", "now", "wake"),
    [
        (rows(1, 1), 0.0, 0.5),  # waits to fill
        (rows(1, 1), 0.4, 0.5),
        (rows(1, 1), 0.5, None),  # has waited
        (rows(2, 2), 0.0, None),  # is full
        (rows(3, 2), 0.0, None),  # the next does not fit
        ([Wait(alone=True)], 0.0, None),  # nothing may join it
        ([Wait(deadline=0.4)], 0.0, None),  # waiting would make it late
        ([Wait(deadline=0.6)], 0.0, 0.5),
        ([Wait(), Wait(deadline=0.4)], 0.0, None),
    ],
)
def test_a_delay_waits_no_longer_than_it_helps(queue: list[Wait], now: float, wake: float | None) -> None:
    """With a delay of half a second and a limit of four rows."""
    taken = take(queue, Limits(4, 0.5), now)
    assert taken.wake == wake
    assert (taken.leaving, taken.batch) == ((0, []) if wake else (taken.leaving, queue[: taken.leaving]))


waits = st.builds(
    Wait,
    rows=st.integers(1, 6),
    arrived=st.floats(0, 5),
    deadline=st.none() | st.floats(0, 10),
    alone=st.booleans(),
    gone=st.booleans(),
)


@given(st.lists(waits, max_size=20), st.integers(1, 8), st.floats(0, 2), st.floats(0, 10))
def test_what_holds_for_every_queue(queue: list[Wait], limit: int, delay: float, now: float) -> None:
    """Order is kept, limits hold, nothing is lost, and the same values give the same answer."""
    before = [dataclasses.replace(wait) for wait in queue]
    taken = take(queue, Limits(limit, delay), now)
    left = queue[: taken.leaving]
    live = [wait for wait in left if not wait.gone]
    assert [id(w) for w in taken.batch] == [id(w) for w in live if w.deadline is None or w.deadline > now]
    assert [id(w) for w in taken.late] == [id(w) for w in live if w.deadline is not None and w.deadline <= now]
    assert len(taken.batch) <= 1 or sum(w.rows for w in taken.batch) <= limit
    assert len(taken.batch) <= 1 or not any(w.alone for w in taken.batch)
    assert not (taken.batch and taken.wake is not None)
    assert taken.batch or taken.wake is not None or taken.leaving == len(queue)
    assert queue == before
    assert taken == take(queue, Limits(limit, delay), now)
