"""The time that in-place runs may take from one iteration of the event loop, over all models (rule 5)."""

from __future__ import annotations

import asyncio

IN_PLACE_US = 200.0  # a run predicted to be longer goes to a thread: a hop costs less than that
TURN_US = 1000.0  # all in-place runs of one iteration together


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
