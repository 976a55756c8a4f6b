"""The queue of one (model, version) and the runs made of it.

    submit -> lane (one per shape) -> take -> execute, here or on a thread -> answers
                 ^------------- a failed batch, singly, once ------'

Batching is work-conserving: an idle instance takes what is there at the end of the loop iteration that brought
it; while all instances run, requests gather. All state belongs to the loop's thread; other threads only run
`execute`. This module knows no protocol and no runtime: it is given a function that runs.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from fairlead_server import log
from fairlead_server.batching import chunks
from fairlead_server.batching.admission import Ahead, refusal
from fairlead_server.batching.alarms import Alarms
from fairlead_server.batching.answers import Answers, within
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.execute import Array, Done, Run, RunModel, WrongRows, error_of, names_of
from fairlead_server.batching.instances import Instances
from fairlead_server.batching.lanes import Lanes, Left
from fairlead_server.batching.marks import NoMark, RunningMark
from fairlead_server.batching.padding import for_serving
from fairlead_server.batching.predict import Predictor
from fairlead_server.batching.priority import level_of
from fairlead_server.batching.request import Awaiting, BatchAnswer, Request
from fairlead_server.batching.rows import fixed, leading_rows, shape_key, why_not
from fairlead_server.batching.tables import tables_of
from fairlead_server.batching.take import Limits, Seconds
from fairlead_server.batching.threads import RunThreads
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature

_LATE = "the deadline passed, or came too near for a run, while the request waited"
_ONE_OF, _LONG_US = 8, 200.0  # of the short runs, every eighth is learned from
_SWEPT = 16  # a full queue is looked through for those who left only so often that a refusal stays cheap
_STALE_S = 1.0  # a prediction that no run has confirmed for so long refuses nothing by itself


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
        self._one_shape = fixed(signature)
        self._lengths = for_serving(signature, settings, profile)
        self._by_rows = not why_not(signature)
        self._settings = settings
        preferred = frozenset(size for size in settings.preferred_batch_sizes if size <= settings.max_batch_size)
        self._limits = Limits(settings.max_batch_size, settings.max_queue_delay_us / 1e6, preferred)
        self._slo_s = settings.slo_ms / 1e3
        self._predictor = Predictor(tables_of(profile, self._lengths, self._one_shape))
        self._deadlines = False  # whether any request has ever had one
        self._crowded = 0  # refusals since the queue was looked through
        self._last_run = -math.inf
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
            request = self._accept(whom, inputs, rows, outputs, deadline, priority)
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

    def _accept(
        self,
        whom: Awaiting,
        inputs: Mapping[str, Array],
        rows: int | None,
        outputs: tuple[str, ...],
        deadline: float | None,
        priority: int,
    ) -> Request:
        now = self._clock()
        if self._closing:
            raise ServingError(Kind.NOT_READY, "this version is being unloaded")
        if deadline is None and self._slo_s:
            deadline = now + self._slo_s
        if deadline is not None and deadline <= now:
            raise ServingError(Kind.DEADLINE, "the deadline had passed when the request arrived")
        if self.batching or (rows is None and self._by_rows):
            rows = leading_rows(inputs)
        lengths = self._lengths
        key = lengths.key(inputs) if lengths else () if self._one_shape else shape_key(inputs)
        settings = self._settings
        levels = settings.priority_levels
        level = level_of(priority, levels, settings.default_priority_level) if levels else 0
        places = rows if rows and rows > 0 else 1
        if self._waiting.rows + places > settings.max_queue_rows:
            self._make_room(places, level)
        if deadline is not None:
            self._check_deadline(places, key, level, deadline, now)
        alone = not self.batching
        return Request(inputs, places, outputs or self._every, key, deadline, now, alone, whom, False, level)

    def _make_room(self, rows: int, level: int) -> None:
        """Each priority has its own bound. A request larger than that is let in when none of it waits; it could never
        be served else."""
        limit = self._settings.max_queue_rows
        waiting = self._waiting.rows_of(level)
        self._crowded += 1
        if waiting and waiting + rows > limit and self._crowded > self._waiting.rows // _SWEPT:
            self._crowded = 0
            self._sweep()
            waiting = self._waiting.rows_of(level)
        if not waiting or waiting + rows <= limit:
            return
        whose = f"the queue of priority {level + 1}" if self._settings.priority_levels else "the queue"
        message = f"{whose} is full ({waiting} rows wait, {limit} may); try again later"
        raise ServingError(Kind.OVERLOADED, message, retry_after=1.0)

    def _check_deadline(self, rows: int, key: Hashable, level: int, deadline: float, now: float) -> None:
        """Refuse what cannot be met."""
        self._deadlines = True
        waiting, instances = self._waiting, self._instances
        limit = self._limits.rows if self.batching else rows
        if self._one_shape and instances.idle == instances.count:
            most = self._predictor.us((), limit, now)
            if most is None or now + ((waiting.rows + rows) // limit + 2) * most * 1e-6 < deadline:
                return  # most requests: there is ample time
        if self._stale(now) and not waiting:
            return
        seconds = partial(self._predictor.seconds, key, now)
        first, others_s = waiting.ahead(level, key, limit, now, self._predict)
        rate = waiting.rate(level) if self.batching else 0.0
        ahead = Ahead(instances.free_at(now), first, others_s, rate, instances.count)
        error = refusal(rows, deadline, limit, ahead, now, seconds)
        if error is not None:
            raise error

    def _predict(self, key: Hashable, now: float) -> Seconds | None:
        return None if self._stale(now) else partial(self._predictor.seconds, key, now)

    def _stale(self, now: float) -> bool:
        """While nothing runs, what is refused teaches nothing: so that a wrong prediction does not refuse for ever, one
        request is let through every now and then."""
        return self._instances.idle == self._instances.count and now > self._last_run + _STALE_S

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
            left = self._waiting.next_batch(self._limits, now, self._predict)
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
        key = batch[0].key
        if self._deadlines:
            self._waiting.sample(now)
        us = self._predictor.us(key, run.rows, now)
        self._instances.start(run, us, self._finish)

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
        us = done.input_us + done.infer_us + done.output_us
        self._last_run = now = self._clock()
        if run.on_thread or us > _LONG_US or not self.counts.runs % _ONE_OF:
            self._predictor.observe(run.batch[0].key, run.rows, us, now, on_thread=run.on_thread)

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
