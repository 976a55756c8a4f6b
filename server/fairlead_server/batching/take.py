"""Which requests of a queue form the next batch: values in, values out.

A queue holds the requests of one version and one shape, those of the highest priority first, oldest first among
these. Only a prefix of it ever leaves, so start order is first in, first out (rule 2), and a request that does not fit
waits at the head rather than being passed over.

With deadlines, and a prediction of how long runs take:

- What cannot be answered in time even if it ran alone, now, is late, and costs no run.
- Where all that fits into a run is likely to be answered in time, it runs: so much of it as still gains by sharing
  the run. The others are answered no later in the next one.
- Else stretches of the queue are weighed: those before one are late, those behind it wait. A stretch's run takes what
  that many requests take, and each of it counts by its chance to be in time (`chances`). The stretch with the most rows
  in time for each second that they take wins, the longer of equals. So a few with little time left do not shrink the
  batches of the many behind them, which under overload would cost what batching gains, again and again; and how far
  runs scatter decides how near to the deadline they may go.
- Requests of lower priorities fill what room is left, as long as they make none of a higher one late.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from fairlead_server.batching.chances import Seconds

_WEIGHED = 8  # stretches begin and end at so many places; in longer queues at every n-th
_LEAST = 0.1  # who has less of a chance in a stretch is late there


class Waiting(Protocol):
    """`alone` never shares a run. `gone` has nobody left to answer. Times are the clock's seconds. `level` 0 is the
    highest priority."""

    rows: int
    arrived: float
    deadline: float | None
    alone: bool
    level: int

    @property
    def gone(self) -> bool: ...


W = TypeVar("W", bound=Waiting)


class Limits(NamedTuple):
    rows: int  # in one run
    delay_s: float = 0.0  # how long a batch that is not full may wait, from its oldest request's arrival
    preferred: frozenset[int] = frozenset()  # rows; a batch is cut to the most of these that it reaches


class Take(NamedTuple, Generic[W]):
    """The first `leaving` requests leave the queue: `batch` is to run together, `late` misses its deadline,
    the rest of them are gone. With an empty batch and a `wake`, ask again at that time, or when the queue grows."""

    leaving: int
    batch: list[W]
    late: list[W]
    wake: float | None = None


class _Walk(Generic[W]):
    """A prefix of a queue: `batch` fits into a run, and `ends[i]` requests leave with batch[i] as the last; `late` are
    those that cannot be in time, with their places in the queue."""

    __slots__ = ("batch", "ends", "full", "late", "leaving", "rows", "timed")

    def __init__(self) -> None:
        self.batch: list[W] = []
        self.ends: list[int] = []
        self.late: list[tuple[int, W]] = []
        self.leaving = self.rows = 0
        self.full = self.timed = False

    def cut(self, length: int, batch: list[W], lost: Sequence[W] = ()) -> None:
        """Only the first `length` requests leave, less `lost`, which are late: `batch` is what remains of them."""
        self.leaving = self.ends[length - 1]
        self.late = [(at, waiting) for at, waiting in self.late if at < self.leaving]
        self.late += [(self.leaving, waiting) for waiting in lost]
        self.batch, self.full = batch, True

    def taken(self) -> Take[W]:
        return Take(self.leaving, self.batch, [waiting for _, waiting in self.late])


def all_of(queue: Collection[W], rows: int, limits: Limits) -> bool:
    """Whether there is nothing to decide: all of a queue without deadlines, of so many rows, is the next batch."""
    single = len(queue) == 1
    if limits.delay_s or (not single and (rows > limits.rows or limits.preferred)):
        return False
    return not [waiting for waiting in queue if waiting.gone or (waiting.alone and not single)]


def take(queue: Iterable[W], limits: Limits, now: float, seconds: Seconds | None = None) -> Take[W]:
    """A request with more rows than the limit runs alone; a delay never makes a request late. Without `seconds`
    nothing is predicted, and late is what has missed its deadline already."""
    walk = _walk(queue, limits.rows, now, seconds)
    if len(walk.batch) > 1:
        if walk.timed and seconds is not None:
            _meet_most(walk, now, seconds)
        if limits.preferred:
            _cut_to_preferred(walk, limits.preferred)
    if limits.delay_s and walk.batch and not walk.full:
        wake = _wake(walk, limits.delay_s, seconds)
        if wake > now:
            return Take(0, [], [], wake)
    return walk.taken()


def _walk(queue: Iterable[W], limit: int, now: float, seconds: Seconds | None) -> _Walk[W]:
    """Every request comes through here: plain statements only."""
    walk: _Walk[W] = _Walk()
    batch, ends = walk.batch, walk.ends
    leaving = rows = 0
    near = now + ((seconds(limit) or 0.0) if seconds is not None else 0.0)  # who has longer is in time alone
    for waiting in queue:
        if not waiting.gone:
            deadline = waiting.deadline
            if deadline is not None:
                if (deadline <= near or waiting.rows > limit) and _hopeless(waiting, now, seconds):
                    walk.late.append((leaving, waiting))
                    leaving += 1
                    continue
                walk.timed = True
            if batch and (waiting.alone or rows + waiting.rows > limit):
                walk.full = True
                break
            batch.append(waiting)
            rows += waiting.rows
            leaving += 1
            ends.append(leaving)
            if rows >= limit or waiting.alone:
                walk.full = True
                break
        else:
            leaving += 1
    walk.leaving, walk.rows = leaving, rows
    return walk


def _hopeless(waiting: Waiting, now: float, seconds: Seconds | None) -> bool:
    """Late, or late even if it ran alone, now."""
    alone = (seconds(waiting.rows) or 0.0) if seconds is not None else 0.0
    return waiting.deadline is not None and (waiting.deadline <= now or waiting.deadline < now + alone)


def _meet_most(walk: _Walk[W], now: float, seconds: Seconds) -> None:
    whole = seconds(walk.rows)
    if whole is None:
        return
    if _earliest(walk.batch) >= now + seconds.likely(whole):
        _cut_to_enough(walk, seconds)
        return
    top = sum(waiting.level == walk.batch[0].level for waiting in walk.batch)
    length, kept = _best_stretch(walk.batch[:top], now, seconds)
    lost = [waiting for waiting in walk.batch[:length] if waiting not in kept] if len(kept) < length else []
    if length == top:
        more = _filling(kept, walk.batch[top:], now, seconds)
        length, kept = length + len(more), kept + more
    walk.cut(length, kept, lost)


def _cut_to_enough(walk: _Walk[W], seconds: Seconds) -> None:
    """The others have the next run, and are answered no later for it."""
    enough, rows = seconds.enough(walk.rows), 0
    for length, waiting in enumerate(walk.batch):
        rows += waiting.rows
        if rows > enough and length:
            walk.cut(length, walk.batch[:length])
            return


def _best_stretch(batch: Sequence[W], now: float, seconds: Seconds) -> tuple[int, list[W]]:
    """Where it ends, and who of it runs: the most rows a second; of equals the longer, and of these the older."""
    best, length, kept = 0.0, 1, list(batch[:1])
    cuts = [*range(0, len(batch), -(-len(batch) // _WEIGHED)), len(batch)]
    for size in range(len(cuts) - 1, 0, -1):
        for begin, end in zip(cuts, cuts[size:], strict=False):
            stretch = batch[begin:end]
            rows = sum([waiting.rows for waiting in stretch])
            takes = max(seconds(rows) or 0.0, 1e-9)
            if rows > best * (1 + 1e-9) * takes:  # else it would be no better with all of them in time
                rate, run = _worth(stretch, now, takes, seconds)
                if rate > best * (1 + 1e-9):
                    best, length, kept = rate, end, run
    return length, kept


def _worth(stretch: Sequence[W], now: float, takes: float, seconds: Seconds) -> tuple[float, list[W]]:
    """Rows in time for each second, and who runs, where all of it `takes` so long."""
    rows, met, run = 0, 0.0, []
    for waiting in stretch:
        chance = 1.0 if waiting.deadline is None else seconds.chance(waiting.deadline, now, takes)
        if chance >= _LEAST:
            rows += waiting.rows
            met += waiting.rows * chance
            run.append(waiting)
    if len(run) < len(stretch):
        takes = max(seconds(rows) or 0.0, 1e-9)
    return met / takes, run


def _filling(kept: Sequence[W], lower: Sequence[W], now: float, seconds: Seconds) -> list[W]:
    """As many of the lower priorities as are likely to leave everybody in time."""
    earliest, rows, more = _earliest(kept), sum(waiting.rows for waiting in kept), []
    for waiting in lower:
        rows += waiting.rows
        if waiting.deadline is not None:
            earliest = min(earliest, waiting.deadline)
        if earliest < now + seconds.likely(seconds(rows) or 0.0):
            break
        more.append(waiting)
    return more


def _earliest(batch: Iterable[Waiting]) -> float:
    return min((waiting.deadline for waiting in batch if waiting.deadline is not None), default=math.inf)


def _cut_to_preferred(walk: _Walk[W], preferred: frozenset[int]) -> None:
    """A batch that reaches none stays as it is."""
    rows, length = 0, 0
    for count, waiting in enumerate(walk.batch, 1):
        rows += waiting.rows
        if rows in preferred:
            length = count
    if length == len(walk.batch):
        walk.full = True
    elif length:
        walk.cut(length, walk.batch[:length])


def _wake(walk: _Walk[W], delay_s: float, seconds: Seconds | None) -> float:
    """When a batch that may still grow has to start. At once (a time long past) where waiting would cost a deadline."""
    wake = min(waiting.arrived for waiting in walk.batch) + delay_s
    if not walk.timed:
        return wake
    length = (seconds(sum(waiting.rows for waiting in walk.batch)) or 0.0) if seconds is not None else 0.0
    return wake if _earliest(walk.batch) - length > wake else -math.inf
