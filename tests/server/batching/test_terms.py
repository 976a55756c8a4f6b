"""Deadlines and priorities through the batcher itself: who starts first, and who is refused at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from fairlead_server.errors import Kind, ServingError
from fairlead_server.testing import FakeSession

KNOWN = {1: 50_000.0, 64: 50_000.0}  # microseconds


def firsts(session: FakeSession) -> list[list[float]]:
    return [run[:, 0].tolist() for run in session.runs]


def test_a_higher_priority_starts_first_and_a_lower_one_fills_the_room(make: Any, x: Any) -> None:
    """In each priority first in, first out; what is not set is the default."""

    async def story() -> None:
        session = FakeSession(delay_s=0.03)
        async with make(session, max_batch_size=3, priority_levels=3, default_priority_level=2) as batcher:
            running = batcher.submit(x(0), 1)
            await asyncio.sleep(0.01)
            given = [(1, 3), (2, 3), (3, 0), (4, 1), (5, 9), (6, 1)]
            later = [batcher.submit(x(number), 1, priority=priority) for number, priority in given]
            await asyncio.gather(running, *later)
        assert firsts(session) == [[0], [4, 6, 3], [5, 1, 2]]

    asyncio.run(story())


def test_without_levels_priorities_are_ignored(make: Any, x: Any) -> None:
    """As in Triton."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, max_batch_size=1) as batcher:
            await asyncio.gather(*(batcher.submit(x(number), 1, priority=9 - number) for number in range(4)))
        assert firsts(session) == [[0], [1], [2], [3]]

    asyncio.run(story())


def test_each_priority_has_a_bound_of_its_own(make: Any, x: Any) -> None:
    """A flood of the lowest leaves room for the others, and the refusal names its level."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.05), priority_levels=2, max_queue_rows=2) as batcher:
            kept = [batcher.submit(x(0), 1)]
            await asyncio.sleep(0.01)
            kept += [batcher.submit(x(number), 1, priority=2) for number in (1, 2)]
            with pytest.raises(ServingError, match="queue of priority 2 is full") as caught:
                batcher.submit(x(3), 1, priority=2)
            assert caught.value.kind is Kind.OVERLOADED
            kept += [batcher.submit(x(number), 1, priority=1) for number in (4, 5)]
            await asyncio.gather(*kept)

    asyncio.run(story())


def test_a_deadline_that_cannot_be_met_is_refused_at_once(make: Any, x: Any) -> None:
    """By the queue's fault, with the time to come again after, or by its own run's; what can be met comes in."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.05), table=KNOWN) as batcher:
            first = batcher.submit(x(0), 1)
            await asyncio.sleep(0.005)
            with pytest.raises(ServingError, match="try again") as caught:
                batcher.submit(x(1), 1, deadline=time.monotonic() + 0.06)
            assert (caught.value.kind, (caught.value.retry_after or 0) > 0) == (Kind.OVERLOADED, True)
            with pytest.raises(ServingError, match="alone") as caught:
                batcher.submit(x(2), 1, deadline=time.monotonic() + 0.02)
            assert caught.value.kind is Kind.DEADLINE
            await asyncio.gather(first, batcher.submit(x(3), 1, deadline=time.monotonic() + 5))
            assert batcher.counts.failures == {"overloaded": 1, "deadline": 1}

    asyncio.run(story())


def test_a_wrong_prediction_is_tried_now_and_then(make: Any, x: Any) -> None:
    """Nothing runs, so nothing would ever teach better: one request is let in, and its run is believed."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, table={1: 10e6, 64: 10e6}) as batcher:
            answer = await batcher.submit(x(0), 1, deadline=time.monotonic() + 1.0)
            assert answer.outputs["y"].tolist() == [[0, 0]]
            with pytest.raises(ServingError, match="alone"):
                batcher.submit(x(1), 1, deadline=time.monotonic() + 0.5)
        assert len(session.runs) == 1

    asyncio.run(story())


def test_another_models_runs_are_waited_for(make: Any, x: Any) -> None:
    """The threads are the worker's: what occupies them counts, whoever gave it."""

    async def story() -> None:
        inputs = {"x": np.zeros((1, 2), np.float32)}
        async with make(FakeSession(delay_s=0.1), table={}, threads=1) as batcher:
            threads = batcher._instances._threads
            threads.submit(lambda: time.sleep(0.2), "another", time.monotonic(), 0.2)
            await asyncio.sleep(0.01)
            batcher._forecast._predictor.observe((), 1, 10_000.0, time.monotonic(), on_thread=False)
            batcher._forecast._last_run = time.monotonic()
            with pytest.raises(ServingError, match="the answer is predicted in") as caught:
                batcher.submit(inputs, 1, deadline=time.monotonic() + 0.1)
            assert caught.value.kind is Kind.OVERLOADED
            await batcher.submit(inputs, 1, deadline=time.monotonic() + 5)

    asyncio.run(story())
