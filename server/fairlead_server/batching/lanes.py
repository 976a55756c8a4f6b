"""What waits: for each priority one first-in-first-out lane per shape; of a priority the oldest request's lane first.

Requests of different shapes cannot share a run; with a lane each they do not break up one another's batches,
and none starves, for the oldest request of the highest priority is always the next to start. Lower priorities fill
up a batch of the same shape, and start by themselves when no higher one waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from fairlead_server.batching.admission import Inflow
from fairlead_server.batching.chances import Seconds
from fairlead_server.batching.request import Request
from fairlead_server.batching.take import Limits, Take, all_of, take

SecondsOf = Callable[[Hashable, float], Seconds | None]  # the prediction for a shape at a time, if there is one

_ASKED = 32  # lanes whose runs are predicted one by one; more of them are taken for alike


class Left(NamedTuple):
    """What left the lanes: a batch to run, those that are late, those that nobody waits for any more. `wake` is when
    to ask again for a batch that is still filling."""

    batch: list[Request]
    late: list[Request]
    gone: list[Request]
    wake: float | None = None


class Lane(deque[Request]):
    """`timed` once it held a deadline."""

    __slots__ = ("rows", "timed")

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.timed = False


class Level:
    """The lanes of one priority, by shape; none of them is empty. `entered` counts the rows that ever came."""

    __slots__ = ("entered", "inflow", "lanes", "rows")

    def __init__(self) -> None:
        self.lanes: dict[Hashable, Lane] = {}
        self.rows = 0
        self.entered = 0
        self.inflow = Inflow()


class Lanes:
    """`rows` wait in all."""

    def __init__(self) -> None:
        self._levels: dict[int, Level] = {0: Level()}
        self._order = [0]
        self.rows = 0

    def __bool__(self) -> bool:
        return self.rows > 0

    def __iter__(self) -> Iterator[Request]:
        return (request for level in self._levels.values() for lane in level.lanes.values() for request in lane)

    def rows_of(self, level: int) -> int:
        return self._levels[level].rows if level in self._levels else 0

    def sample(self, now: float) -> None:
        """Note how much has come in; now and then, before `rate` is asked."""
        for level in self._levels.values():
            level.inflow.sample(level.entered, now)

    def rate(self, number: int) -> float:
        """Rows a second that have come in lately, of this priority and above."""
        return sum([level.inflow.rate for at, level in self._levels.items() if at <= number])

    def put(self, request: Request) -> None:
        """At the end of its lane."""
        level = self._levels.get(request.level) or self._new(request.level)
        lane = level.lanes.get(request.key)
        if lane is None:
            lane = level.lanes[request.key] = Lane()
        lane.append(request)
        if request.deadline is not None:
            lane.timed = True
        rows = request.rows
        lane.rows += rows
        level.rows += rows
        level.entered += rows
        self.rows += rows

    def put_back(self, request: Request) -> None:
        """At the head of its lane."""
        self.put(request)
        level = self._levels[request.level]
        level.entered -= request.rows
        level.lanes[request.key].rotate(1)

    def next_batch(self, limits: Limits, now: float, seconds: SecondsOf) -> Left:
        """The batch that starts next; empty when all that is left waits to fill."""
        if len(self._order) == 1 and len(self._levels[0].lanes) == 1:
            level = self._levels[0]
            ((key, lane),) = level.lanes.items()
            if not lane.timed and all_of(lane, lane.rows, limits):
                self._shrink(level, key, lane.rows)
                return Left(list(lane), [], [])
        return self._next_batch(limits, now, seconds)

    def _next_batch(self, limits: Limits, now: float, seconds: SecondsOf) -> Left:
        late: list[Request] = []
        gone: list[Request] = []
        wake: float | None = None
        for at, number in enumerate(self._order):
            for key, lane in _by_age(self._levels[number]):
                lower = self._lower(at, key) if at + 1 < len(self._order) else None
                queue = chain(lane, *lower) if lower else lane
                timed = lane.timed or (lower and any(other.timed for other in lower))
                taken = take(queue, limits, now, seconds(key, now) if timed else None)
                self._remove(taken, at, key, gone)
                if taken.late:
                    late += taken.late
                if taken.batch:
                    return Left(taken.batch, late, gone)
                if taken.wake is not None:
                    wake = min(taken.wake, wake or taken.wake)
        return Left([], late, gone, wake)

    def sweep(self, now: float, *, everything: bool = False) -> Left:
        """Take out what is late or gone, wherever it stands; with `everything`, all that waits counts as late."""
        left = Left([], [], [])
        for level in self._levels.values():
            for key, lane in list(level.lanes.items()):
                kept = Lane()
                for request in lane:
                    if request.gone:
                        left.gone.append(request)
                    elif everything or (request.deadline is not None and request.deadline <= now):
                        left.late.append(request)
                    else:
                        kept.append(request)
                        kept.rows += request.rows
                        kept.timed = kept.timed or request.deadline is not None
                self._shrink(level, key, lane.rows - kept.rows, kept)
        return left

    def ahead(self, number: int, key: Hashable, limit: int, now: float, seconds: SecondsOf) -> tuple[int, float]:
        """What goes before a request that comes now: rows of its shape, and the seconds of other shapes' runs."""
        rows, waiting, asked, run_s = 0, 0, 0, 0.0
        for at in self._order:
            if at > number:
                break
            level = self._levels[at]
            own = level.lanes.get(key)
            rows += own.rows if own is not None else 0
            waiting += level.rows
            for other, lane in islice(level.lanes.items(), _ASKED):
                predict = seconds(other, now) if other != key else None
                if predict is not None:
                    asked += lane.rows
                    run_s += (predict(min(lane.rows, limit)) or 0.0) * max(lane.rows / limit, 1.0)
        return rows, run_s * (waiting - rows) / asked if asked else 0.0

    def earliest_deadline(self) -> float | None:
        return min((r.deadline for r in self if r.deadline is not None), default=None)

    def _new(self, number: int) -> Level:
        level = self._levels[number] = Level()
        self._order = sorted(self._levels)
        return level

    def _lower(self, at: int, key: Hashable) -> list[Lane]:
        levels = (self._levels[number] for number in self._order[at + 1 :])
        return [level.lanes[key] for level in levels if key in level.lanes]

    def _remove(self, taken: Take[Request], at: int, key: Hashable, gone: list[Request]) -> None:
        """Take the first ones out of the lanes of this shape, from this level downwards, and note those of them that
        are gone."""
        count, some_gone = taken.leaving, taken.leaving > len(taken.batch) + len(taken.late)
        for number in self._order[at:]:
            level = self._levels[number]
            lane = level.lanes.get(key)
            if lane is None or not count:
                continue
            if count >= len(lane) and not some_gone:
                count -= len(lane)
                self._shrink(level, key, lane.rows)
                continue
            first = [lane.popleft() for _ in range(min(count, len(lane)))]
            count -= len(first)
            gone += [request for request in first if request.gone]
            rows = sum(request.rows for request in first)
            lane.rows -= rows
            self._shrink(level, key, rows, lane)

    def _shrink(self, level: Level, key: Hashable, rows: int, left: Lane | None = None) -> None:
        """So many rows fewer, and this is what the lane is now."""
        level.rows -= rows
        self.rows -= rows
        if left:
            level.lanes[key] = left
        else:
            del level.lanes[key]


def _by_age(level: Level) -> list[tuple[Hashable, Lane]]:
    lanes = list(level.lanes.items())
    if len(lanes) > 1:
        lanes.sort(key=lambda lane: lane[1][0].arrived)
    return lanes
