"""Which lengths may meet in a run: values in, values out.

Filling up costs what the filled places cost, and sharing a run saves what a run costs whatever is in it. Which of the
two is more differs by a factor of a hundred between a small model on a GPU and a large one on a CPU, so the rule goes
by what warm-up measured: lengths share a bucket as long as the shortest of them gains as well, that is, while its
quarter of a run of four, filled up to the longest, takes no longer than its own run alone.

Measured in one process with an encoder of 6 layers, 8 callers and lengths from 8 to 64, as processor time of a request:
one by one 4.5 ms, everything in one bucket 5.4, powers of two 4.5, this rule 3.9. Where a run's fixed cost is most of
it, as on a GPU, the rule makes one bucket.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Mapping

from fairlead_server.models.latency import ByRows, of_length

MATES = 4  # how many share the run that the rule goes by
_WIDTH = 8  # lengths within an eighth of the longest meet in any case: times are measured, and measurements vary


@dataclasses.dataclass(frozen=True)
class Buckets:
    """`tops` are the longest lengths of the buckets, ascending. Beyond the last, and without any, the powers of two
    are the tops: what is filled up is then never more than what was there."""

    tops: tuple[int, ...] = ()

    def of(self, length: int) -> int:
        """The top of the bucket. Length 0 is alone: all of it would be filled up."""
        if self.tops and length <= self.tops[-1] and length:
            return self.tops[bisect_left(self.tops, length)]
        return 1 << (length - 1).bit_length() if length > 1 else length


def measured(tables: Mapping[int, ByRows]) -> Buckets:
    """By what one row costs and what four do (or what there is up to that) at each length that was measured: length to
    rows to any unit of time."""
    known = {length: table for length, table in tables.items() if 1 in table and _mates(table) > 1}
    if len(known) < 2:
        return Buckets()
    tops: list[int] = []
    top = max(known)
    while top > 0:
        tops.append(top)
        top = min(_shortest(known, top), top - top // _WIDTH) - 1
    return Buckets(tuple(reversed(tops)))


def _shortest(known: Mapping[int, ByRows], top: int) -> int:
    """The shortest length that gains by sharing a run with `top`; longer ones gain too, for they take longer alone."""
    mates = min(_mates(table) for table in known.values())
    share = (of_length(known, mates, top) or 0.0) / mates
    return 1 + bisect_left(range(1, top), share, key=lambda length: of_length(known, 1, length) or 0.0)


def _mates(table: ByRows) -> int:
    return max((rows for rows in table if rows <= MATES), default=0)
