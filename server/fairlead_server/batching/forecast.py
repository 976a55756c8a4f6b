"""What a version's runs are expected to take, and when the next one may start: the predictor, and what it learns from.

Used on the loop's thread, by whoever lets requests in and by whoever starts runs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import partial

from fairlead_server.batching.chances import Seconds
from fairlead_server.batching.execute import Done, Run
from fairlead_server.batching.instances import Instances
from fairlead_server.batching.predict import Predictor, Tables

_ONE_OF, _LONG_US = 8, 200.0  # of the short runs, every eighth is learned from
_STALE_S = 1.0  # a prediction that no run has confirmed for so long refuses nothing by itself


class Forecast:
    def __init__(self, tables: Tables, instances: Instances) -> None:
        self._predictor = Predictor(tables)
        self._instances = instances
        self._last_run = -math.inf
        self._runs = 0

    def us(self, key: Hashable, rows: int, now: float) -> float | None:
        """Microseconds of one run, None where nobody knows."""
        return self._predictor.us(key, rows, now)

    def seconds(self, key: Hashable, now: float) -> Seconds:
        return Seconds(partial(self._predictor.seconds, key, now), self._predictor.scatter)

    def trusted(self, key: Hashable, now: float) -> Seconds | None:
        """For refusing by it: None while it is stale."""
        return None if self.stale(now) else self.seconds(key, now)

    def stale(self, now: float) -> bool:
        """While nothing runs, what is refused teaches nothing: so that a wrong prediction does not refuse for ever, one
        request is let through every now and then."""
        return self._instances.idle == self._instances.count and now > self._last_run + _STALE_S

    def learn(self, run: Run, done: Done, now: float) -> None:
        self._last_run = now
        self._runs += 1
        us = done.input_us + done.infer_us + done.output_us
        if run.on_thread or us > _LONG_US or not self._runs % _ONE_OF:
            self._predictor.observe(run.batch[0].key, run.rows, us, now, on_thread=run.on_thread)
