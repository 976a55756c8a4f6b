"""Who is still owed an answer, and what the answers were: each accepted request is told exactly one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead_server.batching.counts import Counts
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
    """The parts of a large request are told like any other, and not counted: their whole is. `all_told` is set
    while nobody is owed an answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts = Counts()
        self._clock = clock
        self._owed = 0
        self.all_told = asyncio.Event()
        self.all_told.set()

    def accepted(self) -> None:
        self._owed += 1
        self.all_told.clear()

    def refused(self, error: ServingError) -> None:
        self.counts.failed(error.kind.value)

    def tell(self, request: Request, answer: BatchAnswer) -> None:
        if request.gone:
            self.forget(request)
            return
        request.future.set_result(answer)
        if not request.part:
            self.counts.answered((self._clock() - request.arrived) * 1e6)
            self._settled()

    def fail(self, request: Request, error: ServingError) -> None:
        if request.gone:
            self.forget(request)
            return
        request.future.set_exception(error)
        if not request.part:
            self.counts.failed(error.kind.value)
            self._settled()

    def forget(self, request: Request) -> None:
        """Its caller went away."""
        if not request.part:
            self.counts.failed(Kind.CANCELLED.value)
            self._settled()

    def _settled(self) -> None:
        self._owed -= 1
        if not self._owed:
            self.all_told.set()
