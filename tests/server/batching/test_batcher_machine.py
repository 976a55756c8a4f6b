"""Whatever comes in whatever order, every caller gets exactly its own rows, or its own error."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead_server.batching.request import BatchAnswer
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.testing import FakeSession

FREE = Signature((TensorSpec("x", "FP32", (-1, -1), ("N", "T")),), (TensorSpec("y", "FP32", (-1, -1), ("N", "T")),))


@dataclasses.dataclass(frozen=True)
class Call:
    """One request: its size, whether the model can take it, and what its caller does."""

    rows: int
    width: int
    poison: bool
    cancel_after: int | None  # loop iterations
    deadline_s: float | None
    pause: int  # loop iterations before the next call


calls = st.lists(
    st.builds(
        Call,
        rows=st.integers(0, 9),
        width=st.integers(1, 2),
        poison=st.sampled_from([False] * 7 + [True]),
        cancel_after=st.sampled_from([None] * 5 + [0, 1, 3]),
        deadline_s=st.sampled_from([None] * 5 + [0.001, 5.0]),
        pause=st.sampled_from([0, 0, 0, 1, 4]),
    ),
    min_size=1,
    max_size=25,
)


def inputs(at: int, call: Call) -> np.ndarray:
    """Rows that no other call has, but for the poison."""
    x = np.full((call.rows, call.width), at, np.float32)
    x[:, 0] += np.arange(call.rows, dtype=np.float32) / 16
    if call.poison and call.rows:
        x[-1] = FakeSession.POISON
    return x


async def one(batcher: Any, at: int, call: Call) -> Any:
    deadline = None if call.deadline_s is None else time.monotonic() + call.deadline_s
    future = batcher.submit({"x": inputs(at, call)}, call.rows, deadline=deadline)
    if call.cancel_after is not None:
        for _ in range(call.cancel_after):
            await asyncio.sleep(0)
        future.cancel()
    return await future


@pytest.mark.parametrize("in_place", [True, False])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=calls, limit=st.integers(1, 6), instances=st.integers(1, 3), delay_us=st.sampled_from([0, 0, 300]))
def test_everybody_gets_their_own(
    make: Any, in_place: bool, calls: list[Call], limit: int, instances: int, delay_us: int
) -> None:
    """Own rows or own error; poison is told to its caller alone; starts keep the order; the counts add up."""

    async def story() -> None:
        session = FakeSession(answer=lambda x: x * 3, signature=FREE)
        given = {"max_batch_size": limit, "instances": instances, "max_queue_delay_us": delay_us}
        async with make(session, table={}, turn_us=1e6 if in_place else 0.0, **given) as batcher:
            tasks = []
            for at, call in enumerate(calls, 1):
                tasks.append(asyncio.create_task(one(batcher, at, call)))
                for _ in range(call.pause):
                    await asyncio.sleep(0)
            async with asyncio.timeout(10):
                results = await asyncio.gather(*tasks, return_exceptions=True)
            counts = batcher.counts
            assert batcher.batching is (limit > 1)
        for at, (call, result) in enumerate(zip(calls, results, strict=True), 1):
            judge(at, call, result)
        answered = sum(isinstance(result, BatchAnswer) for result in results)
        assert counts.queued_rows == 0
        assert (counts.requests, counts.requests + sum(counts.failures.values())) == (answered, len(calls))
        assert all(len(run) <= limit for run in session.runs) or limit == 1
        if instances == 1:
            in_order(session, limit)

    asyncio.run(story())


def judge(at: int, call: Call, result: Any) -> None:
    if isinstance(result, BatchAnswer):
        assert not (call.poison and call.rows)
        np.testing.assert_array_equal(result.outputs["y"], inputs(at, call) * 3)
    elif isinstance(result, ServingError) and result.kind is Kind.REJECTED:
        assert call.poison
    elif isinstance(result, ServingError):
        assert result.kind in (Kind.DEADLINE, Kind.OVERLOADED)
        assert call.deadline_s == 0.001
    else:
        assert isinstance(result, asyncio.CancelledError)
        assert call.cancel_after is not None


def in_order(session: FakeSession, limit: int) -> None:
    """The first time that each row runs: within one shape, never after a row of a later call."""
    for width in (1, 2):
        seen: list[float] = []
        for run in session.runs:
            if run.shape[1] == width:
                seen += [row for row in run[:, 0].tolist() if row not in seen and row != FakeSession.POISON]
        assert seen == sorted(seen)
