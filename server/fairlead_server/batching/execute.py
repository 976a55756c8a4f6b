"""One run: put the rows together, run, hand the rows back. No loop, no queue: it may happen on any thread."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fairlead_server.batching.request import Request
from fairlead_server.errors import Kind, ServingError

Array = np.ndarray[Any, np.dtype[Any]]
RunModel = Callable[[Mapping[str, Array], Sequence[str]], dict[str, Array]]


class WrongRows(Exception):
    """An output whose leading dimension is not the rows that went in: nobody can say whose rows they are (rule 3)."""


@dataclasses.dataclass(slots=True)
class Done:
    """`answers` stand in the batch's order. `wrong` is set where a run of one request gave other rows than it took."""

    answers: list[dict[str, Array]]
    input_us: float
    infer_us: float
    output_us: float
    wrong: str = ""


@dataclasses.dataclass(slots=True)
class Run:
    """Requests of one shape that run together, for the outputs `names`. `started` is in the batcher's clock;
    `by_rows` asks for outputs of as many rows as the inputs."""

    batch: list[Request]
    names: tuple[str, ...]
    started: float
    by_rows: bool
    on_thread: bool = False
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = sum(request.rows for request in self.batch)

    @property
    def key(self) -> Hashable:
        return self.batch[0].key


def execute(model: RunModel, run: Run) -> Done:
    """One concatenate for each input, views out (rule 4). A request alone is passed as it is.

    Raises what `model` raises, and WrongRows for more than one request.
    """
    batch = run.batch
    begin = time.perf_counter()
    inputs = batch[0].inputs if len(batch) == 1 else _together(batch)
    ready = time.perf_counter()
    outputs = model(inputs, run.names)
    ran = time.perf_counter()
    wrong = _wrong_rows(inputs, outputs) if run.by_rows else ""
    if len(batch) == 1:
        answers = [outputs]
    elif wrong:
        raise WrongRows(wrong)
    else:
        answers = _apart(batch, outputs)
    end = time.perf_counter()
    return Done(answers, (ready - begin) * 1e6, (ran - ready) * 1e6, (end - ran) * 1e6, wrong)


def error_of(fault: Exception) -> ServingError:
    """What the caller of a failed run is told. A fault that no runtime has named is ours."""
    if isinstance(fault, ServingError):
        return fault
    if isinstance(fault, MemoryError):
        return ServingError(Kind.OVERLOADED, "not enough memory to run this request now", retry_after=1.0)
    return ServingError(Kind.INTERNAL, f"the run failed: {type(fault).__name__}")


def names_of(batch: Sequence[Request], every: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs to run for: what any request asks for, in the signature's order."""
    first = batch[0].outputs
    if all(request.outputs == first for request in batch):
        return first
    wanted = {name for request in batch for name in request.outputs}
    return tuple(name for name in every if name in wanted)


def _together(batch: Sequence[Request]) -> dict[str, Array]:
    return {name: np.concatenate([request.inputs[name] for request in batch]) for name in batch[0].inputs}


def _wrong_rows(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> str:
    rows = next(iter(inputs.values())).shape[0]
    for name, array in outputs.items():
        got = array.shape[0] if array.ndim else 0
        if got != rows:
            return f"output '{name}' gave {got} rows for {rows}"
    return ""


def _apart(batch: Sequence[Request], outputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    answers = []
    start = 0
    for request in batch:
        end = start + next(iter(request.inputs.values())).shape[0]
        answers.append({name: outputs[name][start:end] for name in request.outputs})
        start = end
    return answers
