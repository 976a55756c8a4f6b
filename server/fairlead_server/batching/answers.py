"""Who is still owed an answer, and what the answers were: each accepted request is told exactly one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead_server.batching.counts import Counts
from fairlead_server.batching.request import BatchAnswer, Request
from fairlead_server.errors import Kind, ServingError


class Answers:
    """The parts of a large request are told like any other, and not counted: their whole is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts = Counts()
        self._clock = clock
        self._owed = 0
        self._none_owed = asyncio.Event()
        self._none_owed.set()

    def accepted(self) -> None:
        self._owed += 1
        self._none_owed.clear()

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

    async def all_told(self, grace_s: float) -> None:
        """Wait until nobody is owed an answer, or for so long."""
        try:
            await asyncio.wait_for(self._none_owed.wait(), grace_s)
        except TimeoutError:
            return

    def _settled(self) -> None:
        self._owed -= 1
        if not self._owed:
            self._none_owed.set()
