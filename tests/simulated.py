"""Hours in seconds: the batcher itself on a loop whose clock jumps to whatever comes next.

    arrivals --submit--> Batcher --> SimulatedThreads: a run ends when the recorded table says, not when it was run
                                \\-> or in place, which holds the simulated loop for as long

What is not simulated is what decides. Nothing waits for real, so the same seed gives the same story.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
import selectors
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from fairlead_server.batching import execute, instances
from fairlead_server.batching.batcher import Batcher
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.predict import Curve
from fairlead_server.batching.request import BatchAnswer
from fairlead_server.batching.threads import RunThreads, Work
from fairlead_server.errors import ServingError
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.testing import FakeSession

WIDTH = 2  # of a row


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`now` moves to the next timer as soon as nothing is left to do."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "the simulation waits for nothing that it could reach"
        self._loop.now += timeout
        return []


class Machine:
    """How long runs take: by the table, scattered by `noise`, times what `pace` says of the moment."""

    def __init__(self, loop: SimulatedLoop, table: Mapping[int, float], noise: float, seed: int) -> None:
        self.loop = loop
        self.pace: Callable[[float], float] = lambda now: 1.0
        self.sizes: list[int] = []
        self.busy_s = 0.0
        self._curve = Curve(table)
        self._noise = noise
        self._random = random.Random(seed)
        self._worked = 0.0
        self._given: float | None = None

    def length(self, rows: int) -> float:
        scattered = self._random.lognormvariate(0.0, self._noise) if self._noise else 1.0
        return self._curve.at(rows) * 1e-6 * scattered * self.pace(self.loop.now)

    def run(self, inputs: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        """In place it holds the loop; on a thread its time has passed already when it is called."""
        rows = len(inputs["x"])
        length = self._given if self._given is not None else self.length(rows)
        self.sizes.append(rows)
        self.busy_s += length
        self._worked += length
        if self._given is None:
            self.loop.now += length
        return dict.fromkeys(outputs, inputs["x"])

    def called(self, work: Work, length: float) -> None:
        self._given = length
        work()
        self._given = None

    def perf_counter(self) -> float:
        return self._worked


class SimulatedThreads(RunThreads):
    """`count` of them. A run's rows are told by the token's run, which the work holds."""

    def __init__(self, count: int, machine: Machine) -> None:
        super().__init__(count)
        self._machine = machine
        self._free = [0.0] * count

    def submit(self, work: Any, token: object, now: float, seconds: float) -> float:
        run = work.args[0]
        length = self._machine.length(run.rows)
        self._ends[token] = end = self.free_at(now) + seconds
        at = min(range(len(self._free)), key=self._free.__getitem__)
        self._free[at] = max(self._free[at], now) + length
        self._machine.loop.call_at(self._free[at], self._machine.called, work, length)
        return end


@dataclasses.dataclass
class Story:
    """What became of the requests. `late` were answered after their deadline."""

    sent: int = 0
    in_time: int = 0
    late: int = 0
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    waits: list[float] = dataclasses.field(default_factory=list)
    order: list[int] = dataclasses.field(default_factory=list)

    def told(self, future: asyncio.Future[BatchAnswer], number: int, due: float, now: float, arrived: float) -> None:
        if future.cancelled():
            return
        fault = future.exception()
        if isinstance(fault, ServingError):
            self.refuse(fault)
            return
        self.order.append(number)
        self.waits.append(now - arrived)
        if now <= due:
            self.in_time += 1
        else:
            self.late += 1

    def refuse(self, error: ServingError) -> None:
        self.refused[error.kind.value] = self.refused.get(error.kind.value, 0) + 1


@dataclasses.dataclass
class Callers:
    """Requests of `rows` at a mean `rate`, times what `tide` says of the time since the beginning; `deadline_s` from
    their arrival (0: none). `burst` of them come at once; `even` ones come at equal intervals. One in `leaving` goes
    away after `patience_s`."""

    rate: float
    deadline_s: float = 0.05
    priority: int = 0
    burst: int = 1
    even: bool = False
    leaving: int = 0
    patience_s: float = 0.01
    rows: int = 1
    tide: Callable[[float], float] = lambda passed: 1.0

    def arrivals(self, draw: random.Random) -> Iterator[float]:
        """Seconds since the beginning."""
        passed = 0.0
        while True:
            mean = self.burst / (self.rate * self.tide(passed))
            passed += mean if self.even else draw.expovariate(1 / mean)
            for _ in range(self.burst):
                yield passed


class World:
    """One version on one simulated machine. `patch` sets an attribute for the test's duration (monkeypatch.setattr):
    runs measure themselves by the machine's clock."""

    def __init__(
        self,
        patch: Callable[..., None],
        table: Mapping[int, float],
        *,
        noise: float = 0.05,
        threads: int = 1,
        profile: Mapping[int, float] | None = None,
        seed: int = 1,
        **settings: Any,
    ) -> None:
        self.loop = SimulatedLoop()
        self.machine = Machine(self.loop, table, noise, seed)
        self.most_queued = 0
        self._draw = random.Random(seed)
        clocks = SimpleNamespace(perf_counter=self.machine.perf_counter, thread_time=self.machine.perf_counter)
        patch(execute, "time", clocks)
        patch(instances, "time", clocks)
        self._threads = SimulatedThreads(threads, self.machine)
        self._profile = Profile(latency_us=dict(table if profile is None else profile), batching=True)
        self._settings = VersionSettings(**settings)

    def run(self, seconds: float, *callers: Callers) -> list[Story]:
        """A story for each of the callers, whom nothing but the clock stops."""
        try:
            return self.loop.run_until_complete(self._run(seconds, callers))
        finally:
            self.loop.close()

    async def _run(self, seconds: float, callers: tuple[Callers, ...]) -> list[Story]:
        batcher = Batcher(
            self.machine.run, FakeSession.SIGNATURE, self._settings, self._profile,
            turn=TurnBudget(), threads=self._threads, clock=self.loop.time,
        )  # fmt: skip
        self.batcher = batcher
        stories = [Story() for _ in callers]
        calls = [self._call(batcher, one, story, seconds) for one, story in zip(callers, stories, strict=True)]
        await asyncio.gather(*calls)
        assert await batcher.close(1000.0)
        return stories

    async def _call(self, batcher: Batcher, callers: Callers, story: Story, seconds: float) -> None:
        """At fixed times: a loop that is held up gets what came meanwhile all at once."""
        begin, over = self.loop.now, self.loop.create_future()
        arrivals = callers.arrivals(self._draw)
        inputs = {"x": np.zeros((callers.rows, WIDTH), np.float32)}

        def arrive(passed: float) -> None:
            while passed < seconds and begin + passed <= self.loop.now:
                self._send(batcher, callers, inputs, story, begin + passed)
                passed = next(arrivals)
            if passed < seconds:
                self.loop.call_at(begin + passed, arrive, passed)
            else:
                over.set_result(None)

        self.loop.call_at(begin, arrive, next(arrivals))
        await over

    def _send(
        self, batcher: Batcher, callers: Callers, inputs: Mapping[str, Any], story: Story, arrived: float
    ) -> None:
        number = story.sent
        story.sent += 1
        deadline = arrived + callers.deadline_s if callers.deadline_s else None
        try:
            future = batcher.submit(inputs, callers.rows, deadline=deadline, priority=callers.priority)
        except ServingError as error:
            story.refuse(error)
            return
        self.most_queued = max(self.most_queued, batcher.counts.queued_rows)
        due = math.inf if deadline is None else deadline
        future.add_done_callback(lambda done: story.told(done, number, due, self.loop.now, arrived))
        if callers.leaving and not number % callers.leaving:
            self.loop.call_later(callers.patience_s, future.cancel)
