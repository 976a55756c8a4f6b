"""How much of a replica is used: what an autoscaler decides by. Shares, between two looks at cumulative counts.

    busy      processor time of the workers by the replica's cores, or the fullest event loop, or (on a GPU) the time
              in which a worker runs a model: whichever is the most
    queue     mean waiting time of the model that is worst off, by its SLO (100 ms where it has none). A request that
              is run in parts waits until its first: more replicas would not make the others shorter
    refused   of all requests those that were refused or dropped for want of time or room

A worker that has just started, or ended, is left out of one interval.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fairlead_server.errors import Kind
from fairlead_server.link.messages import VersionCounts

SHORTAGE = (Kind.OVERLOADED.value, Kind.DEADLINE.value)
NO_SLO_MS = 100.0
LEAST_S = 0.5  # looks closer together than that say nothing: clock ticks are 10 ms
_TICKS = os.sysconf("SC_CLK_TCK")

Key = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Processor:
    """Seconds since a process began: of all its threads, and of its main thread, which turns the loop."""

    all_s: float
    loop_s: float


@dataclasses.dataclass(frozen=True)
class Look:
    """Cumulative counts at one moment (monotonic seconds): workers by pid, versions by name."""

    at: float
    processors: Mapping[int, Processor]
    versions: Mapping[Key, VersionCounts]


@dataclasses.dataclass(frozen=True)
class Usage:
    busy: float
    queue: float = 0.0
    refused: float = 0.0


def between(before: Look, after: Look, cores: int, gpu: bool, slo_ms: Mapping[Key, float]) -> Usage | None:
    """None where no worker was there both times."""
    seconds = after.at - before.at
    both = after.processors.keys() & before.processors.keys()
    if not both:
        return None
    spent = sum(after.processors[pid].all_s - before.processors[pid].all_s for pid in both)
    loops = max(after.processors[pid].loop_s - before.processors[pid].loop_s for pid in both)
    changes = {key: _Change.of(before.versions.get(key), counts) for key, counts in after.versions.items()}
    running = sum(change.run_us for change in changes.values()) / 1e6 / len(both) if gpu else 0.0
    busy = max(spent / cores, loops, running) / seconds
    waited = [
        change.waited_us / change.requests / 1e3 / (slo_ms.get(key) or NO_SLO_MS)
        for key, change in changes.items()
        if change.requests
    ]
    asked = sum(change.requests + change.failed for change in changes.values())
    short = sum(change.short for change in changes.values())
    return Usage(min(1.0, max(0.0, busy)), max(waited, default=0.0), short / asked if asked else 0.0)


class Meter:
    """Tells of the time since it looked last; asked again too soon, what it told before."""

    def __init__(self, cores: int, gpu: bool) -> None:
        self._cores = cores
        self._gpu = gpu
        self._last: Look | None = None
        self._told: Usage | None = None

    def read(
        self, now: float, pids: Iterable[int], versions: Mapping[Key, VersionCounts], slo_ms: Mapping[Key, float]
    ) -> Usage | None:
        if self._last is not None and now - self._last.at < LEAST_S:
            return self._told
        found = {pid: processor_of(pid) for pid in pids}
        look = Look(now, {pid: spent for pid, spent in found.items() if spent is not None}, versions)
        before, self._last = self._last, look
        self._told = between(before, look, self._cores, self._gpu, slo_ms) if before is not None else None
        return self._told


@dataclasses.dataclass(frozen=True)
class _Change:
    requests: int
    failed: int
    short: int
    waited_us: int
    run_us: int

    @classmethod
    def of(cls, before: VersionCounts | None, after: VersionCounts) -> _Change:
        """Never negative: a version that was left out and came back begins at zero."""
        old = before if before is not None and before.requests <= after.requests else None
        failed = old.failures if old else {}
        return cls(
            requests=after.requests - (old.requests if old else 0),
            failed=max(0, sum(after.failures.values()) - sum(failed.values())),
            short=max(0, sum(after.failures.get(kind, 0) - failed.get(kind, 0) for kind in SHORTAGE)),
            waited_us=max(0, _waited_us(after) - (_waited_us(old) if old else 0)),
            run_us=max(0, after.run_us - (old.run_us if old else 0)),
        )


def _waited_us(counts: VersionCounts) -> int:
    """Each request once, from its arrival to its first run."""
    return counts.queue_us - counts.later_us


def processor_of(pid: int, proc: Path = Path("/proc")) -> Processor | None:
    """None for a process that has ended."""
    whole, loop = _spent_s(proc / f"{pid}/stat"), _spent_s(proc / f"{pid}/task/{pid}/stat")
    return None if whole is None or loop is None else Processor(whole, loop)


def _spent_s(path: Path) -> float | None:
    """Fields 14 and 15 of proc(5)'s stat; the name before them, in brackets, may hold anything."""
    try:
        fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError, IndexError):
        return None
