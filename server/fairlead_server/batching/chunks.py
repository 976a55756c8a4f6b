"""A request with more rows than a run may have: cut into parts that queue one after the other, and put together again.

The parts keep the whole's place in the queue, and the last one may share its run with the next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from fairlead_server.batching.execute import WrongRows
from fairlead_server.batching.request import BatchAnswer, Request
from fairlead_server.errors import ServingError

Result = BatchAnswer | ServingError | WrongRows | None


def split(whole: Request, limit: int, loop: asyncio.AbstractEventLoop) -> list[Request]:
    """Views of the whole's inputs, `limit` rows each."""
    parts = []
    for part, start in enumerate(range(0, whole.rows, limit), 1):
        end = min(start + limit, whole.rows)
        parts.append(
            Request(
                inputs={name: array[start:end] for name, array in whole.inputs.items()},
                rows=end - start,
                outputs=whole.outputs,
                key=whole.key,
                deadline=whole.deadline,
                arrived=whole.arrived,
                alone=False,
                future=loop.create_future(),
                part=part,
                level=whole.level,
            )
        )
    return parts


def join(whole: Request, parts: Sequence[Request], done: Callable[[Request, Result], None]) -> None:
    """Call `done` once, when every part has an answer, or one of them failed, or the caller went away (None).

    Answers that do not fit together are WrongRows: the model does not work by rows.
    """
    futures = [cast("asyncio.Future[BatchAnswer]", part.future) for part in parts]  # that `split` has made
    left = len(parts)
    told = False

    def tell(result: Result) -> None:
        nonlocal told
        if not told:
            told = True
            for future in futures:
                future.cancel()
            done(whole, result)

    def part_done(future: asyncio.Future[BatchAnswer]) -> None:
        nonlocal left
        left -= 1
        fault = None if future.cancelled() else future.exception()
        if isinstance(fault, ServingError):
            tell(fault)
        elif not left and not future.cancelled():
            tell(put_together([future.result() for future in futures]))

    for future in futures:
        future.add_done_callback(part_done)
    whole.future.add_done_callback(lambda future: tell(None) if future.cancelled() else None)


def put_together(answers: Sequence[BatchAnswer]) -> BatchAnswer | WrongRows:
    """The parts' rows in order; the queue time is the last part's, the compute time all of theirs."""
    try:
        outputs = {name: np.concatenate([a.outputs[name] for a in answers]) for name in answers[0].outputs}
    except ValueError:
        return WrongRows("the outputs of a request's parts have different shapes")
    return BatchAnswer(
        outputs=outputs,
        queue_us=max(answer.queue_us for answer in answers),
        compute_us=sum(answer.compute_us for answer in answers),
        rows=max(answer.rows for answer in answers),
    )
