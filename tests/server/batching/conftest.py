"""A batcher on a FakeSession, for the tests beside this file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.batcher import Batcher
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.threads import RunThreads
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.testing import FakeSession

SHORT = {1 << power: 1.0 for power in range(12)}  # microseconds: runs in place
LONG = {1 << power: 1e6 for power in range(12)}  # runs on a thread


@contextlib.asynccontextmanager
async def batching(
    session: FakeSession,
    *,
    table: dict[int, float] = LONG,
    batching: bool = True,
    turn_us: float = 1e6,
    threads: int = 4,
    grace_s: float = 5.0,
    **settings: Any,
) -> AsyncIterator[Batcher]:
    with RunThreads(threads) as runners:
        batcher = Batcher(
            session.run,
            session.signature,
            VersionSettings(**settings),
            Profile(latency_us=table, batching=batching, batching_reason="" if batching else "rows mix"),
            turn=TurnBudget(turn_us),
            threads=runners,
        )
        yield batcher
        assert await batcher.close(grace_s)


def rows(first: float, count: int = 1) -> dict[str, np.ndarray]:
    """`count` rows that no other request has: [first, 0], [first, 1], ..."""
    return {"x": np.array([[first, at] for at in range(count)], np.float32).reshape(count, 2)}


@pytest.fixture
def make() -> Callable[..., contextlib.AbstractAsyncContextManager[Batcher]]:
    return batching


@pytest.fixture
def x() -> Callable[..., dict[str, np.ndarray]]:
    return rows


@pytest.fixture(params=[SHORT, LONG], ids=["in place", "on threads"])
def table(request: pytest.FixtureRequest) -> dict[int, float]:
    return request.param


@pytest.fixture
def settle() -> Callable[[], Any]:
    async def wait() -> None:
        """Let the loop go round a few times."""
        for _ in range(5):
            await asyncio.sleep(0)

    return wait
