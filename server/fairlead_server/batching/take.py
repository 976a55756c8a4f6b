"""Which requests of a queue form the next batch: values in, values out.

A queue holds the requests of one version and one shape, oldest first. Only a prefix of it ever
leaves, so start order is first in, first out (rule 2), and a request that does not fit waits at the head
rather than being passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar


class Waiting(Protocol):
    """`alone` never shares a run. `gone` has nobody left to answer. Times are the clock's seconds."""

    rows: int
    arrived: float
    deadline: float | None
    alone: bool

    @property
    def gone(self) -> bool: ...


W = TypeVar("W", bound=Waiting)


class Limits(NamedTuple):
    rows: int  # in one run
    delay_s: float = 0.0  # how long a batch that is not full may wait, from its oldest request's arrival


class Take(NamedTuple, Generic[W]):
    """The first `leaving` requests leave the queue: `batch` is to run together, `late` has missed its deadline,
    the rest of them are gone. With an empty batch and a `wake`, ask again at that time, or when the queue grows."""

    leaving: int
    batch: list[W]
    late: list[W]
    wake: float | None = None


def take(queue: Iterable[W], limits: Limits, now: float) -> Take[W]:
    """A request with more rows than the limit runs alone; a delay never makes a request late."""
    batch: list[W] = []
    late: list[W] = []
    leaving = rows = 0
    full = False
    for waiting in queue:
        if waiting.gone:
            leaving += 1
            continue
        if waiting.deadline is not None and waiting.deadline <= now:
            late.append(waiting)
            leaving += 1
            continue
        if batch and (waiting.alone or rows + waiting.rows > limits.rows):
            full = True
            break
        batch.append(waiting)
        leaving += 1
        rows += waiting.rows
        if waiting.alone or rows >= limits.rows:
            full = True
            break
    if not batch or full or not limits.delay_s:
        return Take(leaving, batch, late)
    return _or_wait(Take(leaving, batch, late), limits, now)


def _or_wait(ready: Take[W], limits: Limits, now: float) -> Take[W]:
    """Wait for more, unless the oldest has waited long enough or waiting would cost a deadline."""
    wake = ready.batch[0].arrived + limits.delay_s
    if wake <= now or any(w.deadline is not None and w.deadline <= wake for w in ready.batch):
        return ready
    return Take(0, [], [], wake)
