"""What becomes a request of the queue, and what is refused at the gate.

inputs -> rows, shape, priority -> room in its queue? -> deadline to be met? -> Request
                |                       |                     |
             INVALID                OVERLOADED       OVERLOADED, DEADLINE
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from fairlead_server.batching.admission import Ahead, refusal
from fairlead_server.batching.execute import Array
from fairlead_server.batching.forecast import Forecast
from fairlead_server.batching.instances import Instances
from fairlead_server.batching.lanes import Lanes
from fairlead_server.batching.lengths import Lengths
from fairlead_server.batching.priority import level_of
from fairlead_server.batching.request import Awaiting, Request
from fairlead_server.batching.rows import fixed, leading_rows, shape_key, why_not
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature

_SWEPT = 16  # a full queue is looked through for those who left only so often that a refusal stays cheap


class Intake:
    """`timed` once a request has had a deadline. `sweep` takes those out of the queue who are late or have left."""

    def __init__(
        self,
        signature: Signature,
        settings: VersionSettings,
        lengths: Lengths | None,
        waiting: Lanes,
        instances: Instances,
        forecast: Forecast,
        sweep: Callable[[], None],
    ) -> None:
        self.timed = False
        self._every = tuple(spec.name for spec in signature.outputs)
        self._one_shape = fixed(signature)
        self._by_rows = not why_not(signature)
        self._settings = settings
        self._slo_s = settings.slo_ms / 1e3
        self._lengths = lengths
        self._waiting = waiting
        self._instances = instances
        self._forecast = forecast
        self._sweep = sweep
        self._crowded = 0  # refusals since the queue was looked through

    def accept(
        self,
        whom: Awaiting,
        inputs: Mapping[str, Array],
        rows: int | None,
        outputs: tuple[str, ...],
        deadline: float | None,
        priority: int,
        now: float,
        batching: bool,
    ) -> Request:
        """Raises ServingError. Every request comes through here."""
        if deadline is None and self._slo_s:
            deadline = now + self._slo_s
        if deadline is not None and deadline <= now:
            raise ServingError(Kind.DEADLINE, "the deadline had passed when the request arrived")
        if batching or (rows is None and self._by_rows):
            rows = leading_rows(inputs)
        lengths, settings = self._lengths, self._settings
        key = lengths.key(inputs) if lengths else () if self._one_shape else shape_key(inputs)
        levels = settings.priority_levels
        level = level_of(priority, levels, settings.default_priority_level) if levels else 0
        places = rows if rows and rows > 0 else 1
        if self._waiting.rows + places > settings.max_queue_rows:
            self._make_room(places, level)
        if deadline is not None:
            self._check_deadline(places, key, level, deadline, now, batching)
        return Request(inputs, places, outputs or self._every, key, deadline, now, not batching, whom, False, level)

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
        if waiting and waiting + rows > limit:
            whose = f"the queue of priority {level + 1}" if self._settings.priority_levels else "the queue"
            message = f"{whose} is full ({waiting} rows wait, {limit} may); try again later"
            raise ServingError(Kind.OVERLOADED, message, retry_after=1.0)

    def _check_deadline(
        self, rows: int, key: Hashable, level: int, deadline: float, now: float, batching: bool
    ) -> None:
        """Refuse what cannot be met."""
        self.timed = True
        waiting, instances, forecast = self._waiting, self._instances, self._forecast
        limit = self._settings.max_batch_size if batching else rows
        if self._one_shape and instances.idle == instances.count:
            most = forecast.us((), limit, now)
            if most is None or now + ((waiting.rows + rows) // limit + 2) * most * 1e-6 < deadline:
                return  # most requests: there is ample time
        if forecast.stale(now) and not waiting:
            return
        first, others_s = waiting.ahead(level, key, limit, now, forecast.trusted)
        rate = waiting.rate(level) if batching else 0.0
        ahead = Ahead(instances.free_at(now), first, others_s, rate, instances.count)
        error = refusal(rows, deadline, limit, ahead, now, forecast.seconds(key, now))
        if error is not None:
            raise error
