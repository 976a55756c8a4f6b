"""How late the event loop runs: the heartbeat's second half. A loop that is late answers late, whatever the model."""

from __future__ import annotations

import asyncio
import time

BEAT_S = 0.05


class LoopLag:
    """A beat that should come every 50 ms; `worst_ms` is how late the latest one of them came."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def measure(self) -> None:
        """Until cancelled."""
        while True:
            due = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._worst_s = max(self._worst_s, time.monotonic() - due)

    def take_worst_ms(self) -> float:
        """Since it was asked last."""
        worst, self._worst_s = self._worst_s, 0.0
        return round(worst * 1e3, 3)
