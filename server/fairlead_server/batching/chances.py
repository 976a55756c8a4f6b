"""How long a run is expected to take, how far runs scatter about that, and so how likely an answer is in time.

Runs share their cores with all else that the machine does, so the same run takes now more, now less: seldom by much
where cores are free, by a fifth and more where they are not. Knows no queue.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

_AROUND_S = 0.001  # what a run costs beyond itself: a thread wakes up, answers are told
_NEARLY = 1.05


@dataclasses.dataclass(frozen=True, slots=True)
class Seconds:
    """`expected` is what a run of so many rows takes, None: unknown. `scatter` is the standard deviation of the
    logarithm of what it really takes."""

    expected: Callable[[int], float | None]
    scatter: float = 0.0

    def __call__(self, rows: int) -> float | None:
        return self.expected(rows)

    def likely(self, takes: float) -> float:
        """What five runs in six of this expected length do not exceed."""
        return takes * math.exp(self.scatter)

    def enough(self, rows: int) -> int:
        """The fewest rows (a power of two, or all of so many) that cost each hardly more than any larger run: what is
        added to these shares nothing, and makes them wait."""
        sizes = [1 << power for power in range((rows - 1).bit_length())] + [rows]
        each = [((self(size) or 0.0) + _AROUND_S) / size for size in sizes]
        bar = min(each) * _NEARLY
        return next(size for size, cost in zip(sizes, each, strict=True) if cost <= bar)

    def chance(self, deadline: float, now: float, takes: float) -> float:
        """That a run of this expected length, begun now, ends within the deadline: the normal distribution of the
        logarithm."""
        if self.scatter <= 0.0 or takes <= 0.0:
            return float(deadline >= now + takes)
        if deadline <= now:
            return 0.0
        return 0.5 + 0.5 * math.erf(math.log((deadline - now) / takes) / (self.scatter * math.sqrt(2.0)))
