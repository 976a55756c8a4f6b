"""The queue of one (model, version) and the runs made of it.

    submit -> intake -> lane (one per priority and shape) -> take -> execute, here or on a thread -> answers
                          ^------------------ a failed batch, singly, once ------'

Batching is work-conserving: an idle instance takes what is there at the end of the loop iteration that brought
it; while all instances run, requests gather. All state belongs to the loop's thread; other threads only run
`execute`. This module knows no protocol and no runtime: it is given a function that runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from fairlead_server import log
from fairlead_server.batching import chunks
from fairlead_server.batching.alarms import Alarms
from fairlead_server.batching.answers import Answers, within
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.execute import Array, Done, Run, RunModel, WrongRows, error_of, names_of
from fairlead_server.batching.forecast import Forecast
from fairlead_server.batching.instances import Instances
from fairlead_server.batching.intake import Intake
from fairlead_server.batching.lanes import Lanes, Left
from fairlead_server.batching.marks import NoMark, RunningMark
from fairlead_server.batching.padding import for_serving
from fairlead_server.batching.request import Awaiting, BatchAnswer, Request
from fairlead_server.batching.rows import fixed
from fairlead_server.batching.tables import tables_of
from fairlead_server.batching.take import Limits
from fairlead_server.batching.threads import RunThreads
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature

_LATE = "the deadline passed, or came too near for a run, while the request waited"


class Batcher:
    """Create, use and close on one event loop's thread. `counts` covers all that was submitted here, refusals
    included; `batching` and `batching_reason` are the verdict in effect, which a wrong answer may turn off."""

    def __init__(
        self,
        run: RunModel,
        signature: Signature,
        settings: VersionSettings,
        profile: Profile,
        *,
        turn: TurnBudget,
        threads: RunThreads,
        clock: Callable[[], float] = time.monotonic,
        mark: RunningMark | None = None,
    ) -> None:
        self.batching = profile.batching and settings.max_batch_size > 1
        self.batching_reason = "" if self.batching else profile.batching_reason
        self._instances = Instances(run, settings.instances, turn, threads, mark or NoMark())
        self._every = tuple(spec.name for spec in signature.outputs)
        self._lengths = for_serving(signature, settings, profile)
        preferred = frozenset(size for size in settings.preferred_batch_sizes if size <= settings.max_batch_size)
        self._limits = Limits(settings.max_batch_size, settings.max_queue_delay_us / 1e6, preferred)
        self._forecast = Forecast(tables_of(profile, self._lengths, fixed(signature)), self._instances)
        self._waiting = Lanes()
        self._intake = Intake(
            signature, settings, self._lengths, self._waiting, self._instances, self._forecast, self._sweep
        )
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(clock)
        self.counts = self._answers.counts  # refusals included
        self._alarms = Alarms(self._loop, clock)
        self._round_asked = False
        self._closing = False

    def submit(
        self,
        inputs: Mapping[str, Array],
        rows: int | None = None,
        outputs: tuple[str, ...] = (),
        deadline: float | None = None,
        priority: int = 0,
    ) -> asyncio.Future[BatchAnswer]:
        """`queue`, with a future that holds a BatchAnswer or a ServingError. Cancelling it is enough to leave."""
        future: asyncio.Future[BatchAnswer] = self._loop.create_future()
        self.queue(future, inputs, rows, outputs, deadline, priority)
        return future

    def queue(
        self,
        whom: Awaiting,
        inputs: Mapping[str, Array],
        rows: int | None = None,
        outputs: tuple[str, ...] = (),
        deadline: float | None = None,
        priority: int = 0,
    ) -> None:
        """Queue one request; `whom` is told its answer, later, unless it is done before.

        `rows` is the size of the leading dimension (None: look), `outputs` empty means all, `deadline` is in the
        clock's seconds, `priority` as in Triton. Raises ServingError at once for what is refused: NOT_READY, INVALID,
        OVERLOADED, and DEADLINE for what could not even be met alone.
        """
        try:
            if self._closing:
                raise ServingError(Kind.NOT_READY, "this version is being unloaded")
            now = self._clock()
            request = self._intake.accept(whom, inputs, rows, outputs, deadline, priority, now, self.batching)
        except ServingError as error:
            self._answers.refused(error)
            raise
        self._answers.owed += 1
        if request.rows > self._limits.rows and not request.alone:
            parts = chunks.split(request, self._limits.rows, self._loop)
            chunks.join(request, parts, self._joined)
            for part in parts:
                self._waiting.put(part)
        else:
            self._waiting.put(request)
        self.counts.queued_rows = self._waiting.rows
        if request.deadline is not None:
            self._alarms.at("sweep", request.deadline, self._sweep)
        if not self._round_asked:
            self._ask_round()

    async def close(self, grace_s: float = 30.0) -> bool:
        """Refuse new requests and finish what is here. After the grace time what still waits is failed; False
        then says that a run is still under way, and the session must not be closed yet."""
        self._closing = True
        self._limits = self._limits._replace(delay_s=0.0)
        self._ask_round()
        end = self._clock() + grace_s
        await self._answers.all_told(grace_s)
        self._let_go(self._waiting.sweep(0.0, everything=True), Kind.LEAVING, "this version was unloaded")
        self._alarms.clear()
        # A cancelled request's run may still be under way.
        return await within(end - self._clock(), self._instances.at_rest)

    def _sweep(self) -> None:
        self._let_go(self._waiting.sweep(self._clock()), Kind.DEADLINE, _LATE)
        deadline = self._waiting.earliest_deadline()
        if deadline is not None:
            self._alarms.at("sweep", deadline, self._sweep)

    # Rounds: who runs next.

    def _ask_round(self) -> None:
        if self._instances.idle and not self._round_asked:
            self._round_asked = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        """Give every idle instance a batch."""
        self._round_asked = False
        while self._instances.idle and self._waiting.rows:
            now = self._clock()
            left = self._waiting.next_batch(self._limits, now, self._forecast.trusted)
            self.counts.queued_rows = self._waiting.rows
            if left.late or left.gone:
                self._let_go(left, Kind.DEADLINE, _LATE)
            if left.wake is not None:
                self._alarms.at("round", left.wake, self._ask_round)
            if not left.batch:
                break
            self._start(left.batch, now)

    def _start(self, batch: list[Request], now: float) -> None:
        run = Run(batch, names_of(batch, self._every), now, by_rows=self.batching, lengths=self._lengths)
        if self._intake.timed:
            self._waiting.sample(now)
        self._instances.start(run, self._forecast.us(batch[0].key, run.rows, now), self._finish)

    # Answers.

    def _finish(self, run: Run, outcome: Done | Exception) -> None:
        if isinstance(outcome, WrongRows):
            self._turn_off(str(outcome))
        if isinstance(outcome, Done):
            if outcome.wrong:
                self._turn_off(outcome.wrong)
            self._answer(run, outcome)
        elif len(run.batch) > 1 or run.changed:
            self._again_singly(run.batch)
        else:
            self._answers.fail(run.batch[0], error_of(outcome))
        if self._waiting:
            self._ask_round()

    def _answer(self, run: Run, done: Done) -> None:
        self._answers.run(run, done)
        self._forecast.learn(run, done, self._clock())

    def _again_singly(self, batch: list[Request]) -> None:
        """Once, and within the deadlines: a run of one request that fails is an answer (rule 3)."""
        for request in reversed(batch):
            request.alone = True
            self._waiting.put_back(request)
        self.counts.queued_rows = self._waiting.rows

    def _joined(self, whole: Request, result: chunks.Result) -> None:
        """The parts of a large request are done. Where batching was turned off meanwhile, the whole runs instead."""
        if isinstance(result, WrongRows):
            self._turn_off(str(result))
        if result is None or whole.gone:
            self._answers.forget(whole)
        elif not self.batching:
            whole.alone = True
            self._waiting.put_back(whole)
            self._ask_round()
        elif isinstance(result, ServingError):
            self._answers.fail(whole, result)
        elif isinstance(result, BatchAnswer):
            self._answers.tell(whole, result)

    def _turn_off(self, why: str) -> None:
        if self.batching:
            self.batching = False
            self.batching_reason = f"turned off while serving: {why}"
            log.warning("batching_off", reason=why)
        for request in self._waiting:
            request.alone = True

    def _let_go(self, left: Left, kind: Kind, why: str) -> None:
        self.counts.queued_rows = self._waiting.rows
        for request in left.gone:
            self._answers.forget(request)
        for request in left.late:
            self._answers.fail(request, ServingError(kind, why))
