"""How long will a run take? Learned from warm-up's table and from every run since.

Known per shape and per power of two of rows. An unseen shape is unknown rather than guessed: warm-up
measures one shape, and a long text may take a hundred times as long as a short one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

_SHAPES = 1024  # entries kept; shapes come from clients, so their number has a bound
_SHARE = 0.125  # how much one run moves the estimate
_JUMP = 2.0  # and one run never moves it by more than this factor's worth: the machine may have paused


def bucket(rows: int) -> int:
    """The power of two that `rows` rounds up to; at least 1."""
    return 1 << (rows - 1).bit_length() if rows > 1 else 1


class Predictor:
    """`table` maps rows to microseconds (Profile.latency_us) and speaks for `key`, the shape that all
    requests have when the model fixes it."""

    def __init__(self, table: Mapping[int, float], key: Hashable = ()) -> None:
        self._known: dict[tuple[Hashable, int], float] = {}
        for rows in sorted(table):
            self._known[key, bucket(rows)] = table[rows]

    def predict(self, key: Hashable, rows: int) -> float | None:
        """Microseconds of one run, or None when nothing like it has been run."""
        return self._known.get((key, bucket(rows)))

    def observe(self, key: Hashable, rows: int, us: float, *, on_thread: bool) -> None:
        """A run on a thread may have waited for the interpreter's lock: it can lower an estimate, not raise it."""
        at = (key, bucket(rows))
        old = self._known.get(at)
        if old is None:
            if len(self._known) >= _SHAPES:
                self._known.pop(next(iter(self._known)))
            self._known[at] = us
        elif on_thread:
            self._known[at] = min(old, us)
        else:
            self._known[at] = old + (min(us, old * _JUMP) - old) * _SHARE
