"""One run of requests that differ in length, on a model written as a function."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.execute import Run, WrongRows, execute, put_together
from fairlead_server.batching.lengths import Fill, Lengths, Trim
from fairlead_server.batching.request import Request

LENGTHS = Lengths(
    (
        Fill("ids", 1, 0, 0.0, 2, np.dtype(np.int64)),
        Fill("mask", 1, 0, 0.0, 2, np.dtype(np.int64), of="ids"),
    ),
    (Trim("doubled", 1, 0),),
    (4,),
    True,
)


def model(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
    ids, mask = inputs["ids"], inputs["mask"]
    answers = {"doubled": ids * 2, "total": (ids * mask).sum(axis=1)}
    return {name: answers[name] for name in outputs}


def requests(*texts: Sequence[int], **others: Any) -> list[Request]:
    loop = asyncio.new_event_loop()
    try:
        return [
            Request(
                inputs={"ids": np.array([text])}, rows=1, outputs=("doubled", "total"), key=(), deadline=None,
                arrived=0.0, alone=others.get("alone", False), future=loop.create_future(),
            )
            for text in texts
        ]  # fmt: skip
    finally:
        loop.close()


def run(batch: list[Request], lengths: Lengths = LENGTHS) -> Run:
    return Run(batch, ("doubled", "total"), 0.0, by_rows=True, lengths=lengths)


def test_each_gets_its_own_length_back() -> None:
    """Filled up for the run, cut back for the answers."""
    one = run(requests([1, 2, 3], [4]))
    answers = execute(model, one).answers
    assert [answer["doubled"].tolist() for answer in answers] == [[[2, 4, 6]], [[8]]]
    assert [answer["total"].tolist() for answer in answers] == [[6], [4]]
    assert (one.changed, one.rows) == (True, 2)


def test_one_request_is_filled_up_to_the_multiple() -> None:
    """So that few shapes are run; one that runs alone, after a failure, goes as it came."""
    shapes = []

    def watched(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        shapes.append(inputs["ids"].shape)
        return model(inputs, outputs)

    for alone in (False, True):
        one = run(requests([1, 2, 3], alone=alone))
        assert execute(watched, one).answers[0]["doubled"].tolist() == [[2, 4, 6]]
        assert one.changed is not alone
    assert shapes == [(1, 4), (1, 3)]


@pytest.mark.parametrize("texts", [([1, 2], [3]), ([1, 2, 3],)])
def test_an_output_of_another_length_fails_the_run(texts: Sequence[Sequence[int]]) -> None:
    """Of several, and of one that was filled up: nobody can say which of it is real."""

    def cut(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        return {"doubled": inputs["ids"][:, 1:], "total": inputs["ids"][:, 0]}

    with pytest.raises(WrongRows, match=r"output 'doubled' has the shape \[\d, 3\], and not 4 along 1"):
        execute(cut, run(requests(*texts)))


def test_equal_lengths_are_not_looked_at_further() -> None:
    """What is not filled up needs no cutting, and an output may have any length."""
    one = run(requests([1, 2, 3, 4], [5, 6, 7, 8]))
    answers = execute(model, one).answers
    assert not one.changed
    assert answers[1]["doubled"].tolist() == [[10, 12, 14, 16]]


def test_lengths_that_only_name_a_dimension_cost_nothing() -> None:
    """Nothing is filled up and nothing is made: the arrays are joined as any others."""
    named = Lengths((Fill("ids", 1, 0, 0.0, 2, np.dtype(np.int64)),), (), (1,), True, sharing=False)
    one, two = ({"ids": np.array([[at, at]])} for at in (1, 2))
    assert put_together([one], named).inputs is one
    assert put_together([one, two], named).inputs["ids"].tolist() == [[1, 1], [2, 2]]
