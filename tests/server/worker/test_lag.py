"""How late the loop runs."""

from __future__ import annotations

import asyncio
import time

from fairlead_server.worker.lag import LoopLag


def test_the_worst_delay_is_told_once() -> None:
    """A loop that was held up is late by about that; afterwards it begins anew."""

    async def story() -> None:
        lag = LoopLag()
        measuring = asyncio.ensure_future(lag.measure())
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - this is what is measured
        await asyncio.sleep(0.01)
        measuring.cancel()
        assert lag.take_worst_ms() >= 100
        assert lag.take_worst_ms() == 0

    asyncio.run(story())
