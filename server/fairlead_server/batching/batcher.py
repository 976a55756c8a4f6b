"""The queue of one (model, version) and the runs made of it.

    submit -> lane (one per shape) -> take -> execute, here or on a thread -> answers
                 ^------------- a failed batch, singly, once ------'

Batching is work-conserving: an idle instance takes what is there at the end of the loop iteration that brought
it; while all instances run, requests gather. All state belongs to the loop's thread; other threads only run
`execute`. This module knows no protocol and no runtime: it is given a function that runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from fairlead_server import log
from fairlead_server.batching import chunks
from fairlead_server.batching.alarms import Alarms
from fairlead_server.batching.answers import Answers, within
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.execute import Array, Done, Run, RunModel, WrongRows, error_of, names_of
from fairlead_server.batching.instances import Instances
from fairlead_server.batching.lanes import Lanes, Left
from fairlead_server.batching.marks import NoMark, RunningMark
from fairlead_server.batching.padding import for_serving
from fairlead_server.batching.predict import Predictor
from fairlead_server.batching.request import BatchAnswer, Request
from fairlead_server.batching.rows import fixed, leading_rows, shape_key, why_not
from fairlead_server.batching.take import Limits
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature

_LATE = "the deadline passed while the request waited"


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
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
        mark: RunningMark | None = None,
    ) -> None:
        self.batching = profile.batching and settings.max_batch_size > 1
        self.batching_reason = "" if self.batching else profile.batching_reason
        self._instances = Instances(run, settings.instances, turn, executor, mark or NoMark())
        self._every = tuple(spec.name for spec in signature.outputs)
        self._one_shape = fixed(signature)
        self._lengths = for_serving(signature, settings, profile)
        self._by_rows = not why_not(signature)
        self._settings = settings
        self._limits = Limits(settings.max_batch_size, settings.max_queue_delay_us / 1e6)
        self._predictor = Predictor(profile.latency_us if self._one_shape else {})
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting = Lanes()
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
        """Queue one request; the future holds a BatchAnswer or a ServingError. Cancelling it is enough to leave.

        `rows` is the size of the leading dimension (None: look), `outputs` empty means all, `deadline` is in the
        clock's seconds. Raises ServingError at once for what is refused: NOT_READY, DEADLINE, OVERLOADED, INVALID.
        """
        try:
            request = self._accept(inputs, rows, outputs, deadline)
        except ServingError as error:
            self._answers.refused(error)
            raise
        self._answers.accepted()
        if request.rows > self._limits.rows and not request.alone:
            parts = chunks.split(request, self._limits.rows, self._loop)
            chunks.join(request, parts, self._joined)
        else:
            parts = [request]
        for part in parts:
            self._waiting.put(part)
        self.counts.queued_rows = self._waiting.rows
        if request.deadline is not None:
            self._alarms.at("sweep", request.deadline, self._sweep)
        self._ask_round()
        return request.future

    async def close(self, grace_s: float = 30.0) -> bool:
        """Refuse new requests and finish what is here. After the grace time what still waits is failed; False
        then says that a run is still under way, and the session must not be closed yet."""
        self._closing = True
        self._limits = self._limits._replace(delay_s=0.0)
        self._ask_round()
        end = self._clock() + grace_s
        await within(grace_s, self._answers.all_told)
        self._let_go(self._waiting.sweep(0.0, everything=True), Kind.LEAVING, "this version was unloaded")
        self._alarms.clear()
        return await within(
            end - self._clock(), self._instances.at_rest
        )  # a cancelled request's run may still be under way

    def _accept(
        self, inputs: Mapping[str, Array], rows: int | None, outputs: tuple[str, ...], deadline: float | None
    ) -> Request:
        now = self._clock()
        if self._closing:
            raise ServingError(Kind.NOT_READY, "this version is being unloaded")
        if deadline is None and self._settings.slo_ms:
            deadline = now + self._settings.slo_ms / 1e3
        if deadline is not None and deadline <= now:
            raise ServingError(Kind.DEADLINE, "the deadline had passed when the request arrived")
        if self.batching or (rows is None and self._by_rows):
            rows = leading_rows(inputs)
        places = max(rows or 1, 1)
        self._make_room(places)
        lengths = self._lengths
        key = lengths.key(inputs) if lengths else () if self._one_shape else shape_key(inputs)
        future = self._loop.create_future()
        return Request(inputs, places, outputs or self._every, key, deadline, now, not self.batching, future)

    def _make_room(self, rows: int) -> None:
        """A request larger than the whole queue is let in when nothing waits; it could never be served else."""
        limit = self._settings.max_queue_rows
        if self._waiting.rows and self._waiting.rows + rows > limit:
            self._sweep()
            if self._waiting.rows and self._waiting.rows + rows > limit:
                message = f"the queue is full ({self._waiting.rows} rows wait, {limit} may); try again later"
                raise ServingError(Kind.OVERLOADED, message, retry_after=1.0)

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
        while self._instances.idle and self._waiting:
            left = self._waiting.next_batch(self._limits, self._clock())
            self._let_go(left, Kind.DEADLINE, _LATE)
            if left.wake is not None:
                self._alarms.at("round", left.wake, self._ask_round)
            if not left.batch:
                break
            self._start(left.batch)

    def _start(self, batch: list[Request]) -> None:
        run = Run(batch, names_of(batch, self._every), self._clock(), by_rows=self.batching, lengths=self._lengths)
        self._instances.start(run, self._predictor.predict(run.key, run.rows), self._finish)

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
        compute_us = done.input_us + done.infer_us + done.output_us
        self._predictor.observe(run.key, run.rows, compute_us, on_thread=run.on_thread)
        self.counts.ran(run.rows)
        for request, outputs in zip(run.batch, done.answers, strict=True):
            queue_us = (run.started - request.arrived) * 1e6
            if not request.gone:
                self.counts.shared(request.rows, queue_us, done.input_us, done.infer_us, done.output_us)
            self._answers.tell(request, BatchAnswer(outputs, queue_us, compute_us, run.rows))

    def _again_singly(self, batch: list[Request]) -> None:
        """Once, and within the deadlines: a run of one request that fails is an answer (rule 3)."""
        for request in reversed(batch):
            request.alone = True
            self._waiting.put(request, first=True)
        self.counts.queued_rows = self._waiting.rows

    def _joined(self, whole: Request, result: chunks.Result) -> None:
        """The parts of a large request are done. Where batching was turned off meanwhile, the whole runs instead."""
        if isinstance(result, WrongRows):
            self._turn_off(str(result))
        if result is None or whole.gone:
            self._answers.forget(whole)
        elif not self.batching:
            whole.alone = True
            self._waiting.put(whole, first=True)
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
