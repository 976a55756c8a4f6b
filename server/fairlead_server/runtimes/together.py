"""Rule 1's second half: do rows give the same answers together as alone?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fairlead_server.errors import ServingError
from fairlead_server.runtimes import DeviceFailure, Session

Array = np.ndarray[Any, np.dtype[Any]]


def difference(
    session: Session, pool: Mapping[str, Array], limit: int, tolerance: float, left_s: Callable[[], float]
) -> str:
    """The first difference found as a sentence, "" when there is none. Runs rows of `pool` alone, then in batches of
    several sizes up to `limit`, each beginning at another row. `left_s` is the time left; two rows are compared at
    least."""
    names = tuple(spec.name for spec in session.signature.outputs)
    try:
        alone, row_s = _alone(session, pool, names, left_s)
        size = len(alone)
        for count, rows in enumerate(sorted({2, min(3, limit), min(size, limit), limit})):
            if count and row_s * rows > left_s():
                break
            index = [(count + at) % size for at in range(rows)]
            together = session.run({name: array[index] for name, array in pool.items()}, names)
            for name in names:
                fault = _compare(name, together[name], [alone[at][name] for at in index], tolerance)
                if fault:
                    return fault
    except DeviceFailure:
        raise
    except ServingError as fault:
        return f"rows fail together and not alone, or the other way round: {fault.message}"
    return ""


def _alone(
    session: Session, pool: Mapping[str, Array], names: tuple[str, ...], left_s: Callable[[], float]
) -> tuple[list[dict[str, Array]], float]:
    """The answers to rows alone, as many as there is time for and two at least, and the seconds one took."""
    answers: list[dict[str, Array]] = []
    begin = left_s()
    for at in range(len(next(iter(pool.values())))):
        if at >= 2 and left_s() <= 0:
            break
        answers.append(session.run({name: array[at : at + 1] for name, array in pool.items()}, names))
    return answers, (begin - left_s()) / len(answers)


def _compare(name: str, together: Array, alone: list[Array], tolerance: float) -> str:
    rows = len(alone)
    got = together.shape[0] if together.ndim else 0
    if got != rows or any(row.ndim != together.ndim or row.shape[0] != 1 for row in alone):
        return f"output '{name}' does not have one row for each row of the input ({got} for {rows})"
    if any(row.shape[1:] != together.shape[1:] for row in alone):
        return f"output '{name}' has another shape when rows run together"
    expected = np.concatenate(alone)
    if together.dtype.kind == "f":
        same = np.isclose(together, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not same.all():
            both = np.isfinite(together) & np.isfinite(expected)
            worst = np.abs(together[both].astype(np.float64) - expected[both]).max(initial=0.0)
            return f"output '{name}' differs by {worst:.3g} when rows run together (tolerance {tolerance:g})"
        return ""
    return "" if np.array_equal(together, expected) else f"output '{name}' differs when rows run together"
