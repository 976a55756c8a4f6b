"""Who is still owed an answer, and what the answers were: each accepted request is told exactly one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead_server.batching.counts import Counts
from fairlead_server.batching.execute import Done, Run
from fairlead_server.batching.request import BatchAnswer, Request
from fairlead_server.errors import Kind, ServingError


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for the event, and say whether it came in time."""
    try:
        await asyncio.wait_for(event.wait(), max(seconds, 0.0))
    except TimeoutError:
        return event.is_set()
    return True


class Answers:
    """The parts of a large request are told like any other, and not counted: their whole is. `owed` are the requests
    that have none yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts = Counts()
        self.owed = 0
        self._clock = clock
        self._all_told: asyncio.Event | None = None

    async def all_told(self, seconds: float) -> bool:
        """Wait until nobody is owed an answer, and say whether it came to that in time."""
        if not self.owed:
            return True
        self._all_told = asyncio.Event()
        return await within(seconds, self._all_told)

    def refused(self, error: ServingError) -> None:
        self.counts.failed(error.kind.value)

    def run(self, run: Run, done: Done) -> None:
        """Tell everybody of a run that went well, after it is counted: who is told may act at once, and that is no
        part of the run. Every request comes through here."""
        compute_us = done.input_us + done.infer_us + done.output_us
        started, rows = run.started, run.rows
        shared: list[Request] = []
        for request in run.batch:
            if request.future.done():
                self.forget(request)
            else:
                shared.append(request)
        self.counts.ran(rows, done.infer_us)
        if shared:
            self._count(shared, run, done)
        for request, outputs in zip(run.batch, done.answers, strict=True):
            future = request.future
            if not future.done():
                future.set_result(BatchAnswer(outputs, (started - request.arrived) * 1e6, compute_us, rows))

    def tell(self, request: Request, answer: BatchAnswer) -> None:
        """One whole request, put together from the answers to its parts."""
        if request.gone:
            self.forget(request)
            return
        self.counts.answered([(self._clock() - request.arrived) * 1e6])
        self._settled(1)
        request.future.set_result(answer)

    def fail(self, request: Request, error: ServingError) -> None:
        if request.gone:
            self.forget(request)
            return
        if not request.part:
            self.counts.failed(error.kind.value)
            self._settled(1)
        request.future.set_exception(error)

    def forget(self, request: Request) -> None:
        """Its caller went away."""
        if not request.part:
            self.counts.failed(Kind.CANCELLED.value)
            self._settled(1)

    def _count(self, shared: list[Request], run: Run, done: Done) -> None:
        now, many, first = self._clock(), len(shared), shared[0]
        if many == 1 and not first.part:
            queue_us = (run.started - first.arrived) * 1e6
            self.counts.shared(1, first.rows, queue_us, done.input_us, done.infer_us, done.output_us)
            self.counts.answered([(now - first.arrived) * 1e6])
            self._settled(1)
            return
        arrivals = [request.arrived for request in shared]
        rows = run.rows if many == len(run.batch) else sum([request.rows for request in shared])
        queue_us = (run.started * many - sum(arrivals)) * 1e6
        self.counts.shared(many, rows, queue_us, done.input_us, done.infer_us, done.output_us)
        arrivals = [request.arrived for request in shared if not request.part]
        if len(arrivals) < many:
            later = [run.started - request.arrived for request in shared if request.part > 1]
            self.counts.later_us += int(sum(later) * 1e6)
        if arrivals:
            self.counts.answered([(now - arrived) * 1e6 for arrived in arrivals])
            self._settled(len(arrivals))

    def _settled(self, requests: int) -> None:
        self.owed -= requests
        if not self.owed and self._all_told is not None:
            self._all_told.set()
