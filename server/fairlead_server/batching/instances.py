"""Where runs happen: on the loop's thread while they are short, else on the worker's threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from fairlead_server.batching.budget import SentOff, TurnBudget
from fairlead_server.batching.execute import Done, Run, RunModel, execute
from fairlead_server.batching.marks import RunningMark
from fairlead_server.batching.threads import RunThreads
from fairlead_server.errors import Kind, ServingError

Finish = Callable[[Run, "Done | Exception"], None]


class Instances:
    """`idle` runs more may start now; `at_rest` is set while none is under way. Used on the loop's thread."""

    def __init__(self, model: RunModel, count: int, turn: TurnBudget, threads: RunThreads, mark: RunningMark) -> None:
        self.count = self.idle = count
        self.at_rest = asyncio.Event()
        self.at_rest.set()
        self._model = model
        self._turn = turn
        self._threads = threads
        self._mark = mark
        self._sent_off = SentOff()
        self._ends: dict[int, float] = {}  # of the runs on threads, as expected
        self._loop = asyncio.get_running_loop()

    def start(self, run: Run, us: float | None, finish: Finish) -> None:
        """Run it, and call `finish` on the loop's thread: before this returns, or later. `us` is the prediction."""
        self.idle -= 1
        if us is not None and self._turn.allows(us) and self._sent_off.may_hold(run.batch[0].key, run.started):
            outcome = self._in_place(run, us)
            self.idle += 1
            finish(run, outcome)
            return
        self.at_rest.clear()
        run.on_thread = True
        try:
            work = partial(self._on_thread, run, finish)
            self._ends[id(run)] = self._threads.submit(work, id(run), run.started, (us or 0.0) * 1e-6)
        except RuntimeError:
            self._ended(run, ServingError(Kind.LEAVING, "this worker is ending"), finish)

    def free_at(self, now: float) -> float:
        """When a run that is asked for now would start."""
        free = self._threads.free_at(now)
        return free if self.idle else max(free, min(self._ends.values(), default=now))

    def _in_place(self, run: Run, us: float) -> Done | Exception:
        watched = self._sent_off.watching
        worked = time.thread_time() if watched else 0.0
        begin = time.perf_counter()
        outcome = self._execute(run)
        took_us = (time.perf_counter() - begin) * 1e6
        worked_us = (time.thread_time() - worked) * 1e6 if watched else 0.0
        self._turn.spend(took_us)
        self._sent_off.note(run.batch[0].key, took_us, worked_us, us, run.started)
        return outcome

    def _execute(self, run: Run) -> Done | Exception:
        slot = -1
        try:
            slot = self._mark.enter(not run.on_thread)
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
        self._threads.ended(id(run))
        self._ends.pop(id(run), None)
        self.idle += 1
        if self.idle == self.count:
            self.at_rest.set()
        finish(run, outcome)
