"""The latency table: how long a run takes, by rows, and by length where rows have one.

A run is timed as a batch of single rows makes it: put together, run, taken apart. With a tiny model and many rows that
is more than the model itself, and it is what the event loop would be held up by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fairlead_server.batching.buckets import MATES
from fairlead_server.batching.execute import put_together
from fairlead_server.batching.lengths import Lengths, up
from fairlead_server.errors import ServingError
from fairlead_server.runtimes import made_up
from fairlead_server.runtimes.own_time import OwnTime
from fairlead_server.runtimes.together import Model

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]

LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
# Runs of one kind that are timed, at least, and for how long. One run of a hundred microseconds says little: whatever
# else the machine did in that moment is in it. Others can only make a run longer, and a version is warmed up at low
# priority beside those that serve: so the lower quartile of a few milliseconds' worth is told.
_RUNS, _ENOUGH_S = 5, 0.002
_FEW, _LONG_S = 2, 0.05  # and of long ones, which the budget would not last for


class Took(NamedTuple):
    """Microseconds of a run: on the clock but for waiting, and of the processor."""

    us: float
    work_us: float


class Stopwatch:
    """`left` tells the seconds of the budget; nothing new is begun without any. `time` tells the processor time beside
    the clock's: what others do on the machine makes a run longer, and costs it nothing there."""

    def __init__(self, model: Model, time: OwnTime, left: Callable[[], float]) -> None:
        self._model = model
        self._time = time
        self._left = left

    @property
    def left_s(self) -> float:
        return self._left()

    def took(self, parts: list[Inputs], lengths: Lengths | None) -> Took | None:
        """Of these together: the lower quartile of some runs, one at least, after one that fills the arena, or what
        they took on average without waiting for a core, where that is less; and the least work. None where they
        fail."""
        try:
            self._once(parts, lengths)
            begin = self._time.read()
            runs = [self._once(parts, lengths)]
            while self.left_s > 0 and not _enough([run[0] for run in runs]):
                runs.append(self._once(parts, lengths))
        except (ServingError, ValueError):
            return None
        own_s = self._time.since(begin) / len(runs)
        times = sorted(run[0] for run in runs)
        quartile_s = times[(len(times) - 1) // 4]
        return Took(round(min(quartile_s, own_s) * 1e6, 1), round(min(run[1] for run in runs) * 1e6, 1))

    def _once(self, parts: list[Inputs], lengths: Lengths | None) -> tuple[float, float]:
        clock, work = self._time.clock, self._time.work
        start, worked = clock(), work()
        together = put_together(parts, lengths)
        outputs = self._model(together.inputs)
        if len(parts) > 1:
            for at in range(len(parts)):
                own = {name: array[at : at + 1] for name, array in outputs.items() if array.ndim}
                if lengths is not None and together.changed:
                    lengths.own(own, together.each[at])
        return clock() - start, work() - worked


def _enough(took: list[float]) -> bool:
    spent = sum(took)
    return (len(took) >= _RUNS and spent >= _ENOUGH_S) or (len(took) >= _FEW and spent >= _LONG_S)


def sizes(limit: int) -> list[int]:
    """Powers of two, and the limit."""
    return [*(1 << power for power in range((limit - 1).bit_length()) if 1 << power < limit), limit]


def by_rows(watch: Stopwatch, inputs: Inputs, limit: int) -> dict[int, float]:
    """Microseconds by rows as far as the time reaches. With a limit of 1 only the inputs as they are."""
    if limit == 1:
        first = next(iter(inputs.values()))
        took = watch.took([inputs], None)
        return {} if took is None else {max(first.shape[0] if first.ndim else 1, 1): took.us}
    table: dict[int, float] = {}
    for rows in sizes(limit):
        if table and 2 * max(table.values()) / 1e6 > watch.left_s:
            break
        took = watch.took(_singly(made_up.repeated(inputs, rows), rows), None)
        if took is None:
            break
        table[rows] = took.us
    return steady(table)


class ByLength(NamedTuple):
    """By length and rows: microseconds on the clock, and of the processor."""

    latency: dict[int, dict[int, float]]
    work: dict[int, dict[int, float]]


def by_length(watch: Stopwatch, inputs: Inputs, limit: int, lengths: Lengths) -> ByLength:
    """The same by length: that of `inputs` first, then powers of two until the model takes no more. What decides which
    lengths may meet comes first, then the rest, the cheapest first."""
    axes = {fill.name: fill.axis for fill in lengths.fills if fill.name in inputs}
    table: dict[int, dict[int, Took]] = {}
    failed = math.inf  # from this length on
    for rows, length in _cells(limit, *_candidates(inputs, axes, lengths)):
        if length >= failed or (table and _guess(table, rows, length) > watch.left_s * 1e6):
            continue
        batch = made_up.of_length(made_up.repeated(inputs, rows), axes, length)
        took = watch.took(_singly(batch, rows), lengths)
        if took is not None:
            table.setdefault(length, {})[rows] = took
        elif rows == 1:
            failed = min(failed, length)
    return ByLength(*(_steady_by_length(table, which) for which in range(2)))


def steady(table: Mapping[int, float]) -> dict[int, float]:
    """Ascending: what took longer than something larger was held up by the machine, not by the model."""
    return {rows: min(us for more, us in table.items() if more >= rows) for rows in sorted(table)}


def _steady_by_length(table: Mapping[int, Mapping[int, Took]], which: int) -> dict[int, dict[int, float]]:
    def least(rows: int, length: int) -> float:
        larger = (known for more, known in table.items() if more >= length)
        return min(took[which] for known in larger for more, took in known.items() if more >= rows)

    return {length: {rows: least(rows, length) for rows in sorted(table[length])} for length in sorted(table)}


def _candidates(inputs: Inputs, axes: Mapping[str, int], lengths: Lengths) -> tuple[int, list[int]]:
    """The inputs' own length, and all that are tried."""
    multiple = max(lengths.multiples) if lengths.sharing else 1
    own = up(max(inputs[name].shape[axis] for name, axis in axes.items()), multiple)
    return own, sorted({own, *(up(length, multiple) for length in LENGTHS)} - {0})


def _cells(limit: int, own: int, candidates: list[int]) -> list[tuple[int, int]]:
    cells = [(rows, length) for length in candidates for rows in sizes(limit)]
    few = [cell for cell in cells if cell[0] in (1, MATES)]
    many = [cell for cell in cells if cell not in few]
    few.sort(key=lambda cell: (cell[1] != own, cell[1]))
    return few + sorted(many, key=lambda cell: cell[0] * cell[1])


def _guess(table: Mapping[int, Mapping[int, Took]], rows: int, length: int) -> float:
    """Microseconds that timing a cell will take, at the price that a place had in the largest one so far."""
    places, us = max((r * at, took.us) for at, known in table.items() for r, took in known.items())
    return 3 * us * rows * length / places


def _singly(batch: Inputs, rows: int) -> list[Inputs]:
    return [{name: array[at : at + 1] for name, array in batch.items()} for at in range(rows)]
