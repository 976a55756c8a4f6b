"""Warm-up: the smoke prediction, the verdict on batching and the latency table, in one go and under one budget.

    example --fails--> LoadFailure          made-up inputs --fail--> unprofiled, ready all the same (rule 8)
       |                                         |
       +---- rows alone = rows together? (rule 1) -> and filled up to one length? -> latencies -> Profile

Knows sessions and arrays; no queue and no runtime.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fairlead_server.batching.buckets import measured
from fairlead_server.batching.lengths import Lengths
from fairlead_server.batching.padding import PaddingFault, lengths_of
from fairlead_server.batching.rows import why_not
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile, Smoke
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import LoadFailure, Session, made_up, timing
from fairlead_server.runtimes.own_time import Budget, OwnTime, waited_s
from fairlead_server.runtimes.together import Model, difference, difference_filled

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]
Left = Callable[[], float]  # seconds of the budget

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
    *,
    threads: int = 1,
) -> Profile:
    """Blocks for about `warmup_budget_ms`, and longer only where single runs do, or where its threads have to wait for
    a core: that is not counted, up to a bound. `before_bytes` is what `resident_bytes` said before the session was
    opened, `threads` how many a run has. Raises LoadFailure where the logged example fails, and DeviceFailure."""
    before = resident_bytes() if before_bytes is None else before_bytes
    on_cpu = settings.providers == ("cpu",)
    own = OwnTime(clock, time.process_time, waited_s, threads) if on_cpu else OwnTime(clock, clock)
    left = Budget(settings.warmup_budget_ms / 1e3, own).left
    lengths = _lengths(session, settings)
    model = _model(session, lengths)
    smoke, inputs = _smoke(session, settings, model)
    tried = inputs if settings.warmup else None
    why = "" if tried else smoke.detail or "nothing was run to find out whether rows may be batched"
    why = why or _verdict(session, settings, model, tried or {}, left)
    filled = f"rows are not batched: {why}" if why else ""
    if lengths and lengths.sharing:
        filled = filled or _filled_verdict(settings, model, tried or {}, lengths, left)
        lengths = dataclasses.replace(lengths, sharing=not filled)
    watch = timing.Stopwatch(model, own, left)
    table, by_length = _latencies(session, watch, tried, 1 if why else settings.max_batch_size, lengths)
    return Profile(
        bytes=max(resident_bytes() - before, 0),
        latency_us=table,
        batching=not why,
        batching_reason=why,
        smoke=smoke,
        notes=session.notes,
        latency_by_length=by_length.latency,
        padding=bool(settings.padding) and not filled,
        padding_reason=filled if settings.padding else "",
        length_step=measured(by_length.work) if settings.padding and not filled else 0,
    )


def rehearse(
    session: Session,
    settings: VersionSettings,
    profile: Profile,
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """For what was measured before: the smoke prediction, then one run of each size that the profile knows, as far as
    the budget reaches by the profile's word. Raises as `measure` does."""
    end = clock() + budget_s
    model = _model(session, _lengths(session, settings))
    _, inputs = _smoke(session, settings, model)
    for rows, us in profile.latency_us.items() if inputs and settings.warmup and profile.batching else ():
        if clock() + us / 1e6 > end:
            return
        _fault(model, made_up.repeated(inputs or {}, rows))


def _lengths(session: Session, settings: VersionSettings) -> Lengths | None:
    try:
        return lengths_of(session.signature, settings.padding)
    except PaddingFault as fault:
        raise LoadFailure(str(fault)) from fault


def _model(session: Session, lengths: Lengths | None) -> Model:
    """The session with all of its outputs, and with the masks that inputs leave out."""
    names = tuple(spec.name for spec in session.signature.outputs)
    if lengths is None:
        return lambda inputs: session.run(inputs, names)
    return lambda inputs: session.run(lengths.whole(inputs), names)


def _smoke(session: Session, settings: VersionSettings, model: Model) -> tuple[Smoke, Inputs | None]:
    """The first prediction, and the inputs that made it."""
    if session.example is not None:
        fault = _fault(model, session.example)
        if fault is not None:
            final = fault.kind is not Kind.OVERLOADED
            raise LoadFailure(f"the logged input example fails: {fault.message}", final=final)
        return Smoke("example", passed=True), session.example
    if not settings.warmup:
        return Smoke(), None
    fault = None
    for free in made_up.FREE_SIZES:
        inputs = made_up.inputs(session.signature, 2, free)
        fault = _fault(model, inputs)
        if fault is None:
            return Smoke("made-up", passed=True), inputs
    message = fault.message if fault else ""
    return Smoke("made-up", detail=f"unprofiled: made-up inputs fail ({message}); log an input example"), None


def _fault(model: Model, inputs: Inputs) -> ServingError | None:
    try:
        model(inputs)
    except ServingError as fault:
        return fault
    return None


def _verdict(session: Session, settings: VersionSettings, model: Model, inputs: Inputs, left_s: Left) -> str:
    """Why rows must not be batched; "" where they may be (rule 1)."""
    if settings.max_batch_size == 1:
        return "max_batch_size is 1"
    why = why_not(session.signature)
    if why:
        return why
    seen = False
    for pool in (made_up.varied(inputs, _POOL), made_up.like(session.signature, inputs, _POOL)):
        if _fault(model, pool) is None and made_up.rows_differ(pool):
            why = difference(model, pool, settings.max_batch_size, settings.tolerance, left_s)
            seen = True
            if why:
                return why
    return "" if seen else "no two different rows could be run to compare; log an input example of two rows or more"


def _filled_verdict(settings: VersionSettings, model: Model, inputs: Inputs, lengths: Lengths, left_s: Left) -> str:
    """Why rows of different lengths must not share a run; "" where they may. Masks are left to be made: an example's
    own may hide the very places that would tell."""
    masks = {fill.name for fill in lengths.fills if fill.of}
    pool = made_up.varied({name: array for name, array in inputs.items() if name not in masks}, _POOL)
    axes = {fill.name: fill.axis for fill in lengths.fills if not fill.of}
    rows = [row for row in made_up.of_lengths(pool, axes) if _fault(model, row) is None]
    if len({lengths.of(row) for row in rows}) < 2:
        return "no rows of two lengths could be run to compare; log an input example"
    return difference_filled(model, rows, lengths, settings.max_batch_size, settings.tolerance, left_s)


def _latencies(
    session: Session, watch: timing.Stopwatch, inputs: Inputs | None, limit: int, lengths: Lengths | None
) -> tuple[dict[int, float], timing.ByLength]:
    """By rows, for rows as those of `inputs`, and by length where rows have one."""
    if inputs is None:
        return {}, timing.ByLength({}, {})
    if lengths is None or why_not(session.signature):
        return timing.by_rows(watch, inputs, limit), timing.ByLength({}, {})
    tables = timing.by_length(watch, inputs, limit, lengths)
    own = lengths.longest([lengths.whole(inputs)])
    return tables.latency.get(own, {}), tables
