"""Rule 1's second half: do rows give the same answers together as alone?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fairlead_server.batching.lengths import Lengths
from fairlead_server.errors import ServingError

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]
Model = Callable[[Inputs], dict[str, Array]]  # every output for these inputs

_ROWS = "rows run together"
_FILLED = "lengths are filled up"


def difference(model: Model, pool: Inputs, limit: int, tolerance: float, left_s: Callable[[], float]) -> str:
    """The first difference found as a sentence, "" when there is none. Runs rows of `pool` alone, then in batches of
    several sizes up to `limit`, each beginning at another row. `left_s` is the time left; two rows are compared at
    least."""
    try:
        alone, row_s = _alone(model, pool, left_s)
        size = len(alone)
        for count, rows in enumerate(sorted({2, min(3, limit), min(size, limit), limit})):
            if count and row_s * rows > left_s():
                break
            index = [(count + at) % size for at in range(rows)]
            together = model({name: array[index] for name, array in pool.items()})
            for name in together:
                fault = _compare(name, together[name], [alone[at][name] for at in index], tolerance, _ROWS)
                if fault:
                    return fault
    except ServingError as fault:
        return f"rows fail together and not alone, or the other way round: {fault.message}"
    return ""


def difference_filled(
    model: Model, rows: Sequence[Inputs], lengths: Lengths, limit: int, tolerance: float, left_s: Callable[[], float]
) -> str:
    """The same of rows that differ in length, each run alone as it is and together filled up, as a batch would be: the
    shortest with the longest, then all of them. The first pair is compared whatever the time."""
    try:
        answers = [model(inputs) for inputs in rows]
        for count, batch in enumerate(([0, -1], [*range(len(rows))][:limit])):
            if count and left_s() <= 0:
                break
            together = lengths.together([rows[at] for at in batch])
            outputs = model(together.inputs)
            fault = lengths.wrong(outputs, together.filled)
            for place, at in enumerate(batch):
                own = lengths.own({n: array[place : place + 1] for n, array in outputs.items()}, together.each[place])
                fault = fault or _compare_all(own, answers[at], tolerance)
            if fault:
                return fault
    except ServingError as fault:
        return f"rows that are filled up fail: {fault.message}"
    except ValueError as fault:
        return f"rows of different lengths cannot be put together: {fault}"
    return ""


def _alone(model: Model, pool: Inputs, left_s: Callable[[], float]) -> tuple[list[dict[str, Array]], float]:
    """The answers to rows alone, as many as there is time for and two at least, and the seconds one took."""
    answers: list[dict[str, Array]] = []
    begin = left_s()
    for at in range(len(next(iter(pool.values())))):
        if at >= 2 and left_s() <= 0:
            break
        answers.append(model({name: array[at : at + 1] for name, array in pool.items()}))
    return answers, (begin - left_s()) / len(answers)


def _compare_all(own: Inputs, alone: Inputs, tolerance: float) -> str:
    for name, array in own.items():
        fault = _compare(name, array, [alone[name]], tolerance, _FILLED)
        if fault:
            return fault
    return ""


def _compare(name: str, together: Array, alone: Sequence[Array], tolerance: float, when: str) -> str:
    rows = len(alone)
    got = together.shape[0] if together.ndim else 0
    if got != rows or any(row.ndim != together.ndim or row.shape[0] != 1 for row in alone):
        return f"output '{name}' does not have one row for each row of the input ({got} for {rows})"
    if any(row.shape[1:] != together.shape[1:] for row in alone):
        return f"output '{name}' has another shape when {when}" + ("; name it in trim" if when == _FILLED else "")
    expected = np.concatenate(alone)
    if together.dtype.kind == "f":
        same = np.isclose(together, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not same.all():
            both = np.isfinite(together) & np.isfinite(expected)
            worst = np.abs(together[both].astype(np.float64) - expected[both]).max(initial=0.0)
            return f"output '{name}' differs by {worst:.3g} when {when} (tolerance {tolerance:g})"
        return ""
    return "" if np.array_equal(together, expected) else f"output '{name}' differs when {when}"
