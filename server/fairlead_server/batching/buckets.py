"""Which lengths may meet in a run: values in, values out.

Filling up costs what the filled places cost, and sharing a run saves what a run costs whatever is in it. Which of the
two is more differs by a factor of a hundred between a small model on a GPU and a large one on a CPU, so the rule goes
by what warm-up measured: a run costs something fixed, and something for each place. Four requests that share a run
save three quarters of the fixed cost each; filling the shortest of them up must cost no more than that. So buckets are
as wide as three quarters of a run's fixed cost are worth in places, or an eighth of the length where that is more.

Measured in one process with an encoder of 6 layers, 8 callers and lengths from 8 to 64, as processor time of a request:
one by one 4.7 ms, everything in one bucket 5.8, powers of two 4.5, buckets of 6, 9 and 14 places 4.4, 4.3 and 4.2 (six
warm-ups on that machine, which was very busy, came to 4 to 20). Where a run's fixed cost is most of it, as on a GPU,
the rule makes one bucket.
"""

from __future__ import annotations

import dataclasses
import functools
from bisect import bisect_left
from collections.abc import Mapping

from fairlead_server.models.latency import ByRows

MATES = 4  # how many share the run that the rule goes by
_WIDTH = 8  # a bucket is an eighth of its lengths wide at least: what is measured varies by as much
LONGEST = 1 << 20  # no bucket ends beyond; longer requests are alone with their length


@dataclasses.dataclass(frozen=True)
class Buckets:
    """`step` is the width of the first buckets, in places; 0: not known, and the powers of two are the longest lengths
    of the buckets: what is filled up is then never more than what was there. A bucket ends at `known`, the longest
    length that was measured: so that what is known of it can be told."""

    step: int = 0
    known: int = 0

    def of(self, length: int) -> int:
        """The longest length of the bucket. Length 0 is alone: all of it would be filled up."""
        if not length or length >= LONGEST:
            return length
        if self.step:
            tops = _tops(self.step)
            top = tops[bisect_left(tops, length)]
        else:
            top = 1 << (length - 1).bit_length()
        return min(top, self.known) if length <= self.known else top


def measured(tables: Mapping[int, ByRows]) -> int:
    """The step, by what runs of so many rows cost at each length that was measured: length to rows to any unit of time.
    0 where runs of fewer than three sizes are known."""
    runs = [(rows * length, cost) for length, table in tables.items() for rows, cost in table.items() if cost > 0]
    if len({places for places, _ in runs}) < 3:
        return 0
    fixed, each = _line(runs)
    if each <= 0:
        return LONGEST
    return min(max(int(fixed / each * (MATES - 1) / MATES), 1), LONGEST)


def _line(runs: list[tuple[int, float]]) -> tuple[float, float]:
    """cost = fixed + each * places, by least squares of the relative error: a long run varies by more than a short
    one."""
    a = b = c = d = e = 0.0
    for places, cost in runs:
        weight = 1.0 / (cost * cost)
        a += weight
        b += weight * places
        c += weight * places * places
        d += weight * cost
        e += weight * places * cost
    determinant = a * c - b * b
    return (d * c - b * e) / determinant, (a * e - b * d) / determinant


@functools.lru_cache(maxsize=256)
def _tops(step: int) -> tuple[int, ...]:
    tops = [step]
    while tops[-1] < LONGEST:
        tops.append(tops[-1] + max(step, tops[-1] // _WIDTH))
    return tuple(tops)
