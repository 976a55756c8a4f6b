"""Warm-up: the smoke prediction, the verdict on batching and the latency table, in one go and under one budget.

    example --fails--> LoadFailure          made-up inputs --fail--> unprofiled, ready all the same (rule 8)
       |                                         |
       +------------- rows alone = rows together? (rule 1) -> latency by rows -> Profile

Knows sessions and arrays; no queue and no runtime.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fairlead_server.batching.rows import why_not
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile, Smoke
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import DeviceFailure, LoadFailure, Session, made_up
from fairlead_server.runtimes.together import difference

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]

_RUNS = 5  # timed runs of each size; the median counts
_POOL = 6  # rows that are compared, alone and together


def resident_bytes() -> int:
    """This process's resident memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(
    session: Session,
    settings: VersionSettings,
    before_bytes: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Profile:
    """Blocks for about `warmup_budget_ms`, and longer only where single runs do. `before_bytes` is what
    `resident_bytes` said before the session was opened. Raises LoadFailure where the logged example fails, and
    DeviceFailure."""
    before = resident_bytes() if before_bytes is None else before_bytes
    end = clock() + settings.warmup_budget_ms / 1e3
    smoke, inputs = _smoke(session, settings)
    inputs = inputs if settings.warmup else None
    why = "" if inputs else smoke.detail or "nothing was run to find out whether rows may be batched"
    why = why or _verdict(session, settings, inputs or {}, lambda: end - clock())
    table = _latency(session, inputs, 1 if why else settings.max_batch_size, clock, end) if inputs else {}
    return Profile(
        bytes=max(resident_bytes() - before, 0),
        latency_us=table,
        batching=not why,
        batching_reason=why,
        smoke=smoke,
        notes=session.notes,
    )


def _smoke(session: Session, settings: VersionSettings) -> tuple[Smoke, Inputs | None]:
    """The first prediction, and the inputs that made it."""
    if session.example is not None:
        fault = _fault(session, session.example)
        if fault is not None:
            final = fault.kind is not Kind.OVERLOADED
            raise LoadFailure(f"the logged input example fails: {fault.message}", final=final)
        return Smoke("example", passed=True), session.example
    if not settings.warmup:
        return Smoke(), None
    fault = None
    for free in made_up.FREE_SIZES:
        inputs = made_up.inputs(session.signature, 2, free)
        fault = _fault(session, inputs)
        if fault is None:
            return Smoke("made-up", passed=True), inputs
    message = fault.message if fault else ""
    return Smoke("made-up", detail=f"unprofiled: made-up inputs fail ({message}); log an input example"), None


def _fault(session: Session, inputs: Inputs) -> ServingError | None:
    try:
        session.run(inputs, _names(session))
    except DeviceFailure:  # says nothing of these inputs, and ends the process
        raise
    except ServingError as fault:
        return fault
    return None


def _verdict(session: Session, settings: VersionSettings, inputs: Inputs, left_s: Callable[[], float]) -> str:
    """Why rows must not be batched; "" where they may be (rule 1)."""
    if settings.max_batch_size == 1:
        return "max_batch_size is 1"
    why = why_not(session.signature)
    if why:
        return why
    seen = False
    for pool in _pools(session, inputs):
        if _fault(session, pool) is None and made_up.rows_differ(pool):
            why = difference(session, pool, settings.max_batch_size, settings.tolerance, left_s)
            seen = True
            if why:
                return why
    return "" if seen else "no two different rows could be run to compare; log an input example of two rows or more"


def _pools(session: Session, inputs: Inputs) -> list[Inputs]:
    """Rows to compare: those that ran and what can be made of them, then random ones of their shape."""
    return [made_up.varied(inputs, _POOL), made_up.like(session.signature, inputs, _POOL)]


def _latency(session: Session, inputs: Inputs, limit: int, clock: Callable[[], float], end: float) -> dict[int, float]:
    """Microseconds by rows: powers of two and the limit, as far as the budget reaches. With a limit of 1 only the
    inputs as they are. The first run of each size is not timed: it fills the arena."""
    if limit == 1:
        first = next(iter(inputs.values()))
        return {max(first.shape[0] if first.ndim else 1, 1): _timed(session, inputs, clock, end)}
    table: dict[int, float] = {}
    for rows in _sizes(limit):
        begin = clock()
        if table and 2 * max(table.values()) / 1e6 > end - begin:
            break
        batch = made_up.repeated(inputs, rows)
        if _fault(session, batch) is not None:
            break
        table[rows] = _timed(session, batch, clock, end)
    return table


def _timed(session: Session, inputs: Inputs, clock: Callable[[], float], end: float) -> float:
    names = _names(session)
    took: list[float] = []
    while len(took) < _RUNS and (not took or clock() < end):
        start = clock()
        session.run(inputs, names)
        took.append(clock() - start)
    return round(sorted(took)[len(took) // 2] * 1e6, 1)


def _sizes(limit: int) -> list[int]:
    return [*(1 << power for power in range((limit - 1).bit_length()) if 1 << power < limit), limit]


def _names(session: Session) -> tuple[str, ...]:
    return tuple(spec.name for spec in session.signature.outputs)
