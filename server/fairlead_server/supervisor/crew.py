"""Which worker to start, drain or kill next: a pure decision over how they stand.

A successor accepts before the worker that it replaces drains, one replacement at a time; where memory does not
hold both, the old one leaves first. A worker that says nothing is stuck, and killed: what it holds is lost anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fairlead_server.supervisor.times import Times
from fairlead_server.supervisor.worker import ACCEPTING, DRAINING


@dataclasses.dataclass(frozen=True)
class Stand:
    """One worker. `started`, `heard` and `drain_until` on the clock of `now`."""

    id: str
    state: str
    started: float
    heard: float
    greeted: bool = True
    leaving: bool = False
    drain_until: float = 0.0


@dataclasses.dataclass(frozen=True)
class Around:
    """`start_after`: the pause of a crash loop ends. `both_fit`: memory holds a successor beside the old one."""

    now: float
    wanted: int
    start_after: float = 0.0
    both_fit: bool = True


@dataclasses.dataclass(frozen=True)
class Start:
    pass


@dataclasses.dataclass(frozen=True)
class DrainOne:
    id: str


@dataclasses.dataclass(frozen=True)
class Kill:
    id: str
    why: str


def next_move(workers: Sequence[Stand], around: Around, times: Times) -> Start | DrainOne | Kill | None:
    """At most one; ask again when it is done. `workers` in the order of their start, those that live."""
    for worker in workers:
        why = _hopeless(worker, around.now, times)
        if why:
            return Kill(worker.id, why)
    staying = [worker for worker in workers if worker.state != DRAINING]
    leaving = [worker for worker in staying if worker.leaving]
    may_start = around.now >= around.start_after
    if len(staying) < around.wanted:
        return Start() if may_start else None
    if len(staying) > around.wanted:
        return _let_go(staying, leaving)
    if leaving and not around.both_fit:
        return DrainOne(leaving[0].id)
    return Start() if leaving and may_start else None


def _let_go(staying: Sequence[Stand], leaving: Sequence[Stand]) -> DrainOne | None:
    """One too many: a successor that accepts by now lets the old one go, or there are fewer wanted than before."""
    if not leaving:
        return DrainOne(staying[-1].id)
    newest = staying[-1]
    if newest.state != ACCEPTING:  # one that has to go itself before it has begun is nobody's successor
        return DrainOne(newest.id) if newest.leaving else None
    return DrainOne(leaving[0].id)


def _hopeless(worker: Stand, now: float, times: Times) -> str:
    if not worker.greeted:
        return "it said nothing since its start" if now - worker.started > times.hello else ""
    if worker.state == DRAINING and now > worker.drain_until:
        return "it did not drain in time"
    return f"it was silent for {now - worker.heard:.1f} s" if now - worker.heard > times.stuck else ""
