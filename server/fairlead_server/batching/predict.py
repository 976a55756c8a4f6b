"""How long will a run take? From warm-up's tables, and from every run since.

    prediction = what the curve of the shape says for the rows  x  how the machine runs now

Both are learned: the factor quickly, for all runs of a version show it; the curves slowly. A shape that was never
run is unknown rather than guessed: a long text may take a hundred times as long as a short one. No clock in here: time
is an argument, in seconds; the lengths of runs are microseconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping

Tables = Callable[[Hashable], Mapping[int, float]]

_SHAPES = 1024  # curves kept; shapes come from clients, so their number has a bound
_MOST = math.log(2.0)  # one run counts for no more than this ratio: the machine may have paused
_UP, _DOWN = 0.2, 0.1  # the factor's share of a run that was longer, or shorter, than predicted
_SLOWLY = 1 / 16  # the curve moves with the factor, by so much of its step: against it, the two would drift apart
_BOUND = math.log(64.0)  # of the factor, either way
_IDLE_S, _HALF_S = 1.0, 2.0  # with no news for so long a factor above 1 goes back, half of the way in each of these
_SCATTER, _OF_THE_LAST = 0.1, 1 / 20  # at first; and how much of it the last run says
_NORMAL = math.sqrt(math.pi / 2)  # a standard deviation, in mean deviations of the normal distribution
LOCK_US = 1000.0  # a run on a thread may have waited so long for the interpreter's lock


class Curve:
    """Microseconds of one run by rows, of one shape. Straight lines between the sizes that were seen; beyond the
    largest in proportion to it, which is too long rather than too short."""

    __slots__ = ("_rows", "_us")

    def __init__(self, table: Mapping[int, float]) -> None:
        self._rows = sorted(table)
        self._us = [table[rows] for rows in self._rows]

    def at(self, rows: int) -> float:
        at = bisect_left(self._rows, rows)
        if at == len(self._rows):
            return self._us[-1] * rows / self._rows[-1]
        high, us = self._rows[at], self._us[at]
        if at == 0 or high == rows:
            return us
        low, less = self._rows[at - 1], self._us[at - 1]
        return less + (us - less) * (rows - low) / (high - low)

    def learn(self, rows: int, us: float, step: float) -> None:
        """The nearest size above moves by `step` (of its logarithm); beyond the largest the next power of two is new,
        with what `us` makes of it."""
        at = bisect_left(self._rows, rows)
        if at == len(self._rows):
            self._rows.append(bucket(rows))
            self._us.append(us * self._rows[-1] / rows)
        else:
            self._us[at] *= math.exp(step)


class Predictor:
    """Of one version. `tables` gives what warm-up measured for a shape, rows to microseconds; empty where it did
    not. `scatter` is how far runs have lately been from their predictions: the standard deviation of the logarithm."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._curves: dict[Hashable, Curve] = {}
        self._log = 0.0  # of the factor
        self._factor = 1.0
        self.scatter = _SCATTER
        self._news = -math.inf  # when the factor was last learned

    def us(self, key: Hashable, rows: int, now: float) -> float | None:
        """Of one run, or None where nothing of its shape has been run."""
        curve = self._curves.get(key)
        if curve is None:
            table = self._tables(key)
            if not table:
                return None
            curve = self._keep(key, Curve(table))
        if self._log > 0.0 and now > self._news + _IDLE_S:
            self._calm(now)
        return curve.at(rows) * self._factor

    def seconds(self, key: Hashable, now: float, rows: int) -> float | None:
        us = self.us(key, rows, now)
        return None if us is None else us * 1e-6

    def observe(self, key: Hashable, rows: int, us: float, now: float, *, on_thread: bool) -> None:
        """Learn from a run. On a thread, up to LOCK_US beyond the prediction says nothing."""
        predicted = self.us(key, rows, now)
        if predicted is None:
            self._keep(key, Curve({bucket(rows): us / self._factor * bucket(rows) / rows}))
            return
        if on_thread and us > predicted:
            us = max(us - LOCK_US, predicted)
        ratio = min(max(math.log(max(us, 1.0) / max(predicted, 1.0)), -_MOST), _MOST)
        self.scatter += (abs(ratio) * _NORMAL - self.scatter) * _OF_THE_LAST
        if us == predicted:
            return
        step = ratio * (_UP if ratio > 0 else _DOWN)
        self._set(min(max(self._log + step, -_BOUND), _BOUND), now)
        self._curves[key].learn(rows, us / self._factor, step * _SLOWLY)

    def _keep(self, key: Hashable, curve: Curve) -> Curve:
        if len(self._curves) >= _SHAPES:
            self._curves.pop(next(iter(self._curves)))
        self._curves[key] = curve
        return curve

    def _calm(self, now: float) -> None:
        """Only downwards: being too hopeful is learned from the next run, while what is refused teaches nothing."""
        self._set(self._log * 0.5 ** ((now - self._news - _IDLE_S) / _HALF_S), now - _IDLE_S)

    def _set(self, log: float, now: float) -> None:
        self._log, self._factor, self._news = log, math.exp(log), now


def bucket(rows: int) -> int:
    """The power of two that `rows` rounds up to; at least 1."""
    return 1 << (rows - 1).bit_length() if rows > 1 else 1
