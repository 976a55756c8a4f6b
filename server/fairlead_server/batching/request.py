"""One request as it waits, and its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

import numpy as np

from fairlead_server.errors import ServingError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(slots=True)
class BatchAnswer:
    """`outputs` may be views of a batch's outputs; nobody writes them again. Microseconds: `queue_us` from arrival
    to the start of the run (the failed run of a batch included), `compute_us` of the run. `rows` ran together."""

    outputs: dict[str, Array]
    queue_us: float
    compute_us: float
    rows: int


class Awaiting(Protocol):
    """Whoever waits for an answer, as the batcher sees it. An asyncio.Future is one; another may act at once on what it
    is told, and must not raise then. `done`: it was told, or has left (`cancelled`)."""

    def done(self) -> bool: ...

    def cancelled(self) -> bool: ...

    def set_result(self, answer: BatchAnswer, /) -> None: ...

    def set_exception(self, error: ServingError, /) -> None: ...

    def add_done_callback(self, call: Callable[[Any], object], /) -> None: ...


@dataclasses.dataclass(slots=True, eq=False)
class Request:
    """`rows` counts at least 1, so that empty requests take a place too. `key` is equal for requests that may
    share a run. `part` numbers the chunks of a larger request, which is counted as one, from 1. `level` is the
    priority's place, 0 for the highest."""

    inputs: Mapping[str, Array]
    rows: int
    outputs: tuple[str, ...]
    key: Hashable
    deadline: float | None
    arrived: float
    alone: bool
    future: Awaiting
    part: int = 0
    level: int = 0

    @property
    def gone(self) -> bool:
        return self.future.done()
