"""One run: put the rows together, run, hand the rows back. No loop, no queue: it may happen on any thread.

Where rows differ in length, they are filled up and cut back by what `lengths` says.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fairlead_server.batching.lengths import Lengths, Together
from fairlead_server.batching.request import Request
from fairlead_server.errors import Kind, ServingError

Array = np.ndarray[Any, np.dtype[Any]]
RunModel = Callable[[Mapping[str, Array], Sequence[str]], dict[str, Array]]


class WrongRows(Exception):
    """An output that has not the rows, or the length, that went in: nobody can say whose they are (rule 3)."""


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
    """Requests of one lane that run together, for the outputs `names`. `started` is in the batcher's clock;
    `by_rows` asks for outputs of as many rows as the inputs. `lengths` are the version's, where it has padding set;
    `changed` tells that what ran was filled up: a failure may then be the filling's."""

    batch: list[Request]
    names: tuple[str, ...]
    started: float
    by_rows: bool
    on_thread: bool = False
    rows: int = 0
    lengths: Lengths | None = None
    changed: bool = False

    def __post_init__(self) -> None:
        self.rows = sum(request.rows for request in self.batch)

    @property
    def key(self) -> Hashable:
        return self.batch[0].key


def execute(model: RunModel, run: Run) -> Done:
    """One concatenate or one fill for each input, views out (rule 4). A request alone is passed as it is, but for the
    masks that it leaves to be made.

    Raises what `model` raises, and WrongRows for more than one request, or one that was filled up.
    """
    batch = run.batch
    begin = time.perf_counter()
    together = _gather(run)
    inputs = together.inputs
    ready = time.perf_counter()
    outputs = model(inputs, run.names)
    ran = time.perf_counter()
    wrong = _wrong_rows(inputs, outputs) if run.by_rows else ""
    if run.lengths is not None and run.changed:
        wrong = wrong or run.lengths.wrong(outputs, together.filled)
    if wrong and (len(batch) > 1 or run.changed):
        raise WrongRows(wrong)
    answers = [outputs] if len(batch) == 1 else _apart(batch, outputs)
    if run.lengths is not None and run.changed:
        answers = [run.lengths.own(own, sizes) for own, sizes in zip(answers, together.each, strict=True)]
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


def put_together(batch: Sequence[Mapping[str, Array]], lengths: Lengths | None) -> Together:
    """The inputs of the requests of one lane as one run takes them."""
    if lengths is not None and lengths.acts:
        return lengths.together(batch)
    if len(batch) == 1:
        return Together(batch[0], [], ())
    return Together({name: np.concatenate([inputs[name] for inputs in batch]) for name in batch[0]}, [], ())


def _gather(run: Run) -> Together:
    first = run.batch[0]
    if first.alone and run.lengths is not None:
        return Together(run.lengths.whole(first.inputs), [], ())
    together = put_together([request.inputs for request in run.batch], run.lengths)
    run.changed = together.changed
    return together


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
