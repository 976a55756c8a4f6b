"""What waits: one first-in-first-out lane per shape, the lane with the oldest request first.

Requests of different shapes cannot share a run; with a lane each they do not break up one another's batches,
and none starves, for the oldest request of all is always the next to start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import NamedTuple

from fairlead_server.batching.request import Request
from fairlead_server.batching.take import Limits, take


class Left(NamedTuple):
    """What left the lanes: a batch to run, those that are late, those that nobody waits for any more. `wake` is when
    to ask again for a batch that is still filling."""

    batch: list[Request]
    late: list[Request]
    gone: list[Request]
    wake: float | None = None


class Lanes:
    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[Request]] = {}
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[Request]:
        return (request for lane in self._lanes.values() for request in lane)

    def put(self, request: Request, *, first: bool = False) -> None:
        """At the end of its lane, or back at the head."""
        lane = self._lanes.get(request.key)
        if lane is None:
            lane = self._lanes[request.key] = deque()
        if first:
            lane.appendleft(request)
        else:
            lane.append(request)
        self.rows += request.rows

    def next_batch(self, limits: Limits, now: float) -> Left:
        """The batch that starts next; empty when all that is left waits to fill."""
        left = Left([], [], [])
        wakes: list[float] = []
        for key, lane in self._by_age():
            taken = take(lane, limits, now)
            for _ in range(taken.leaving):
                request = lane.popleft()
                self.rows -= request.rows
                if request.gone:
                    left.gone.append(request)
            if not lane:
                del self._lanes[key]
            left.late.extend(taken.late)
            if taken.batch:
                return left._replace(batch=taken.batch)
            if taken.wake is not None:
                wakes.append(taken.wake)
        return left._replace(wake=min(wakes, default=None))

    def sweep(self, now: float, *, everything: bool = False) -> Left:
        """Take out what is late or gone, wherever it stands; with `everything`, all that waits counts as late."""
        left = Left([], [], [])
        for key, lane in list(self._lanes.items()):
            kept: deque[Request] = deque()
            for request in lane:
                if request.gone:
                    left.gone.append(request)
                elif everything or (request.deadline is not None and request.deadline <= now):
                    left.late.append(request)
                else:
                    kept.append(request)
            if kept:
                self._lanes[key] = kept
            else:
                del self._lanes[key]
        self.rows -= sum(request.rows for request in (*left.late, *left.gone))
        return left

    def earliest_deadline(self) -> float | None:
        return min((r.deadline for r in self if r.deadline is not None), default=None)

    def _by_age(self) -> list[tuple[Hashable, deque[Request]]]:
        lanes = list(self._lanes.items())
        if len(lanes) > 1:
            lanes.sort(key=lambda lane: lane[1][0].arrived)
        return lanes
