"""Which runs may hold the event loop: the time that all models' may take from one of its iterations (rule 5), and the
shapes that have held it longer than they were predicted to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable

IN_PLACE_US = 200.0  # a run predicted to be longer goes to a thread: a hop costs less than that
TURN_US = 1000.0  # all in-place runs of one iteration together
HELD_US, FAR = 1000.0, 4.0  # a run that holds the loop so long, and so many times longer than predicted, is an overrun
PATIENCE_US, MOST_PATIENCE_US = 20_000.0, 1_000_000.0  # overruns within about a second before they are looked into
FIRST_S, LONGEST_S = 0.1, 60.0  # a shape goes to threads for a moment, and each time again for twice as long
_SHAPES = 1024  # that are remembered


class TurnBudget:
    """One per worker, used on the loop's thread only. It fills up again when the loop comes round."""

    def __init__(self, turn_us: float = TURN_US, in_place_us: float = IN_PLACE_US) -> None:
        self._turn_us = turn_us
        self._in_place_us = in_place_us
        self._left = turn_us
        self._refill_asked = False

    def allows(self, predicted_us: float | None) -> bool:
        """Whether a run of this length may happen on the loop now; a run that nobody can predict may not."""
        return predicted_us is not None and predicted_us < self._in_place_us and predicted_us <= self._left

    def spend(self, us: float) -> None:
        """Note what a run really took."""
        self._left -= us
        if not self._refill_asked:
            self._refill_asked = True
            asyncio.get_running_loop().call_soon(self._refill)

    def _refill(self) -> None:
        self._left = self._turn_us
        self._refill_asked = False


class SentOff:
    """Of one version: shapes whose runs go to a thread for a while, for what a run takes may depend on the values.

    A run that only waited for a core takes long, too, and is not to blame. Processor time tells the two apart, and
    asking for it is a system call: so it is asked for only after overruns have added up, until the next one."""

    def __init__(self) -> None:
        self._until: dict[Hashable, tuple[float, float]] = {}  # until when, and for how long
        self._overruns_us = 0.0
        self._patience_us = PATIENCE_US
        self._noted = -math.inf
        self.watching = False  # the next run's processor time is wanted

    def may_hold(self, key: Hashable, now: float) -> bool:
        return not self._until or now >= self._until.get(key, (now, 0.0))[0]

    def note(self, key: Hashable, took_us: float, worked_us: float, predicted_us: float, now: float) -> None:
        """After a run in place. `worked_us` is its processor time if that was wanted."""
        if took_us < HELD_US or took_us < FAR * predicted_us:
            return
        if self.watching:
            self.watching = False
            if worked_us >= HELD_US and worked_us >= FAR * predicted_us:
                self._send(key, now)
            else:
                self._patience_us = min(self._patience_us * 2, MOST_PATIENCE_US)
            return
        self._overruns_us = self._overruns_us * math.exp(self._noted - now) + took_us
        self._noted = now
        if self._overruns_us >= self._patience_us:
            self.watching, self._overruns_us = True, 0.0

    def _send(self, key: Hashable, now: float) -> None:
        """Twice as long as before where the last time is not long ago."""
        until, lasted = self._until.get(key, (-math.inf, 0.0))
        lasts = min(lasted * 2, LONGEST_S) if now < until + 10 * lasted else FIRST_S
        if len(self._until) >= _SHAPES:
            self._until.pop(next(iter(self._until)))
        self._until[key] = (now + lasts, lasts)
        self._patience_us = PATIENCE_US
