"""Where runs happen: on the loop's thread while they are short, else on the worker's executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor

from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.execute import Done, Run, RunModel, execute
from fairlead_server.batching.marks import RunningMark
from fairlead_server.errors import Kind, ServingError

Finish = Callable[[Run, "Done | Exception"], None]


class Instances:
    """`idle` runs more may start now; `at_rest` is set while none is under way. Used on the loop's thread."""

    def __init__(self, model: RunModel, count: int, turn: TurnBudget, executor: Executor, mark: RunningMark) -> None:
        self.idle = count
        self.at_rest = asyncio.Event()
        self.at_rest.set()
        self._model = model
        self._count = count
        self._turn = turn
        self._executor = executor
        self._mark = mark
        self._loop = asyncio.get_running_loop()

    def start(self, run: Run, predicted_us: float | None, finish: Finish) -> None:
        """Run it, and call `finish` on the loop's thread: before this returns, or later."""
        self.idle -= 1
        self.at_rest.clear()
        if self._turn.allows(predicted_us):
            begin = time.perf_counter()
            outcome = self._execute(run)
            self._turn.spend((time.perf_counter() - begin) * 1e6)
            self._ended(run, outcome, finish)
            return
        run.on_thread = True
        try:
            self._executor.submit(self._on_thread, run, finish)
        except RuntimeError:
            self._ended(run, ServingError(Kind.LEAVING, "this worker is ending"), finish)

    def _execute(self, run: Run) -> Done | Exception:
        slot = self._mark.enter(not run.on_thread)
        try:
            return execute(self._model, run)
        except Exception as fault:  # whatever a runtime raises, the queue lives on
            return fault
        finally:
            self._mark.leave(slot)

    def _on_thread(self, run: Run, finish: Finish) -> None:
        outcome = self._execute(run)
        try:
            self._loop.call_soon_threadsafe(self._ended, run, outcome, finish)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _ended(self, run: Run, outcome: Done | Exception, finish: Finish) -> None:
        self.idle += 1
        if self.idle == self._count:
            self.at_rest.set()
        finish(run, outcome)
