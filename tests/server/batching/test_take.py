"""Which requests form the next batch: tables, and what holds for every queue."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.batching.chances import Seconds
from fairlead_server.batching.take import Limits, take


@dataclasses.dataclass
class Wait:
    rows: int = 1
    arrived: float = 0.0
    deadline: float | None = None
    alone: bool = False
    gone: bool = False
    level: int = 0


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


def _slow(rows: int) -> float:
    """A run of one row takes 10 seconds, and each further row 1."""
    return 9.0 + rows


def _dear(rows: int) -> float:
    """Sharing a run saves nothing: 5 seconds a row."""
    return 5.0 * rows


slow, dear = Seconds(_slow), Seconds(_dear)


@pytest.mark.parametrize(
    ("deadlines", "seconds", "batch", "late", "left"),
    [
        ([20, 20, 20], slow, [0, 1, 2], [], []),
        ([9, 20, 20], slow, [1, 2], [0], []),  # hopeless even alone
        ([12, 12, 12, 12, 12], slow, [0, 1, 2], [], [3, 4]),  # three are in time, a fourth would make all late
        ([10, 30, 30, 30], slow, [1, 2, 3], [0], []),  # alone it would hold up three others
        ([10, 11], slow, [1], [0], []),  # one is lost in any case: the later one, for one run less
        ([10, None, None, None], slow, [1, 2, 3], [0], []),
        ([5, 30, 30], dear, [1, 2], [0], []),  # the longer of equals
        ([10, 10, 30, 30], dear, [2, 3], [0, 1], []),
        ([None, 4, 30], dear, [0], [], [1, 2]),  # alone is as good
        ([4, 4], dear, [], [0, 1], []),
        ([10, 30, 30, 30], None, [0, 1, 2, 3], [], []),  # nothing is predicted
    ],
)
def test_the_batch_that_meets_the_most(
    deadlines: list[float | None], seconds: Seconds | None, batch: list[int], late: list[int], left: list[int]
) -> None:
    """At time 0, five rows to a run: rows in time for each second that they take, of equals the longer and older."""
    queue = [Wait(deadline=deadline) for deadline in deadlines]
    taken = take(queue, Limits(5), 0.0, seconds)
    assert [id(w) for w in taken.batch] == [id(queue[at]) for at in batch]
    assert {id(w) for w in taken.late} == {id(queue[at]) for at in late}
    assert [id(w) for w in queue[taken.leaving :]] == [id(queue[at]) for at in left]


@pytest.mark.parametrize(
    ("deadlines", "seconds", "batch"),
    [
        ([100, 100, 100], slow, 3),
        ([100, 100, 100], dear, 1),  # sharing a run would only make the first wait
        ([None, 100, 100], dear, 1),
        ([None, None, None], dear, 3),  # nobody's deadline is at stake
    ],
)
def test_what_gains_nothing_by_sharing_a_run_does_not(
    deadlines: list[float | None], seconds: Seconds, batch: int
) -> None:
    """The others are in time in the next run."""
    taken = take([Wait(deadline=deadline) for deadline in deadlines], Limits(5), 0.0, seconds)
    assert (len(taken.batch), taken.leaving, taken.late, taken.wake) == (batch, batch, [], None)


@pytest.mark.parametrize(
    ("deadlines", "scatter", "batch", "late"),
    [
        ([12, 12, 12, 12], 0.0, 3, 0),  # three are just in time
        ([12, 12, 12, 12], 0.1, 2, 0),  # or as often not: two are safer
        ([14, 14, 14, 14], 0.1, 4, 0),  # a fourth is worth a little risk
        ([11, 40, 40, 40], 0.1, 3, 1),  # it would be late beside them, surely enough
        ([12.5, 40, 40, 40], 0.1, 4, 0),  # it has a chance beside them, and costs little
    ],
)
def test_how_far_runs_scatter_decides_how_near_the_deadline_they_go(
    deadlines: list[float], scatter: float, batch: int, late: int
) -> None:
    """Each counts by its chance to be in time."""
    queue = [Wait(deadline=deadline) for deadline in deadlines]
    taken = take(queue, Limits(5), 0.0, Seconds(_slow, scatter))
    assert (len(taken.batch), len(taken.late)) == (batch, late)


def test_a_long_queue_is_weighed_in_few_steps() -> None:
    """A few dozen stretches, however many wait: the batch is found all the same, and only a prefix leaves."""
    asked: list[int] = []

    def seconds(rows: int) -> float:
        asked.append(rows)
        return _slow(rows)

    queue = [Wait(deadline=float(deadline)) for deadline in range(64)]
    taken = take(queue, Limits(64), 0.0, Seconds(seconds, 0.2))
    assert taken.leaving == 64
    assert 16 <= len(taken.batch) <= 40
    assert taken.batch == queue[-len(taken.batch) :]
    assert len(asked) < 300


@pytest.mark.parametrize(
    ("high", "low", "batch", "left"),
    [
        ([None], [None, None], 3, 0),
        ([11], [30, 30], 2, 1),  # a third would make the first late
        ([10], [30, 30], 1, 2),
        ([10, 30, 30], [30], 3, 0),  # its own kind decides: the first is lost for two, not for the lower one
        ([30, 30], [10, 30], 2, 2),  # it would be late in this batch: nobody overtakes it
    ],
)
def test_lower_priorities_fill_what_room_is_left(
    high: list[float | None], low: list[float | None], batch: int, left: int
) -> None:
    """As long as they make nobody above them late."""
    queue = [Wait(deadline=deadline) for deadline in high] + [Wait(deadline=deadline, level=1) for deadline in low]
    taken = take(queue, Limits(5), 0.0, slow)
    assert (len(taken.batch), len(queue) - taken.leaving) == (batch, left)


@pytest.mark.parametrize(
    ("queue", "preferred", "batch"),
    [
        (rows(1, 1, 1), {2}, 2),
        (rows(1, 1, 1, 1, 1, 1, 1), {2, 4}, 4),
        (rows(1), {2, 4}, 1),  # reaches none: goes as it is
        (rows(3, 3), {4, 8}, 2),  # steps over it
        (rows(2, 2), {4}, 2),
        (rows(1, 1, 1, 1, 1, 1, 1, 1, 1), {4}, 4),
    ],
)
def test_a_batch_is_cut_to_the_largest_preferred_size(queue: list[Wait], preferred: set[int], batch: int) -> None:
    """The rest waits for the next run; nothing waits for a size that is not reached."""
    taken = take(queue, Limits(8, preferred=frozenset(preferred)), 0.0)
    assert (len(taken.batch), taken.leaving, taken.wake) == (batch, batch, None)


@pytest.mark.parametrize(
    ("queue", "batch", "wake"),
    [
        (rows(1, 1, 1), 2, None),
        (rows(1, 1), 2, None),
        (rows(1), 0, 0.5),
        (rows(3), 0, 0.5),
        (rows(1, 1, 1, 1), 4, None),
    ],
)
def test_with_a_delay_a_preferred_size_goes_at_once(queue: list[Wait], batch: int, wake: float | None) -> None:
    """As in Triton; what has reached none waits to fill."""
    taken = take(queue, Limits(8, 0.5, frozenset({2, 4})), 0.0)
    assert (len(taken.batch), taken.wake) == (batch, wake)


def test_a_delay_leaves_time_for_the_run() -> None:
    """A batch starts before waiting longer would make somebody late."""
    assert take([Wait(deadline=12.0)], Limits(4, 3.0), 0.0, slow).batch
    assert take([Wait(deadline=13.5)], Limits(4, 3.0), 0.0, slow).wake == 3.0


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


@given(
    st.lists(waits, max_size=20),
    st.integers(1, 8),
    st.floats(0, 10),
    st.sampled_from([slow, dear]),
    st.sets(st.integers(1, 8), max_size=3),
    st.integers(0, 20),
)
def test_what_holds_with_predictions(
    queue: list[Wait], limit: int, now: float, seconds: Seconds, preferred: set[int], high: int
) -> None:
    """Nobody runs who would be late, nobody is late who was not predicted to be, none is lost, and order is kept."""
    for at, wait in enumerate(queue):
        wait.level = int(at >= high)
        wait.deadline = wait.deadline and wait.deadline * 4
    taken = take(queue, Limits(limit, preferred=frozenset(preferred)), now, seconds)
    places = {id(wait): at for at, wait in enumerate(queue)}
    leaving = [wait for wait in queue[: taken.leaving] if not wait.gone]
    assert sorted(places[id(w)] for w in (*taken.batch, *taken.late)) == sorted(places[id(w)] for w in leaving)
    assert [places[id(w)] for w in taken.batch] == sorted(places[id(w)] for w in taken.batch)
    end = now + (seconds(sum(wait.rows for wait in taken.batch)) or 0.0)
    assert all(wait.deadline is None or wait.deadline >= end for wait in taken.batch)
    assert all(wait.deadline is not None for wait in taken.late)
    live = [wait for wait in queue[:high] if not wait.gone]
    top = [w for w in live if w.deadline is None or w.deadline > now + (seconds(w.rows) or 0.0)]
    assert not taken.batch or not top or taken.batch[0].level == 0 or taken.batch[0].alone
    assert taken.batch or taken.leaving == len(queue)
