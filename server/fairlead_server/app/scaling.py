"""How many replicas a pool should have, from what they measure themselves. Serve asks it every few seconds.

    replica: busy share, queue time against the SLO, share refused --(record_autoscaling_stats)--> Scaling --> replicas

Up at once and by as much as is missing: a pod takes a minute, and requests are refused meanwhile. What the load will
be when the pod has come is guessed from the trend. Down slowly: to what was needed at most in the last minutes, and
never while a replica that runs is silent, or before so many minutes have been seen, or before a new pool was whole
once. The decision is a pure function; this module knows neither ray nor supervisor, for Serve's controller imports it
on a node that has neither.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

BUSY, QUEUE, REFUSED = "busy", "queue", "refused"
STEP_S = 5.0  # samples are kept no denser: a window of minutes is some dozens of them


@dataclasses.dataclass(frozen=True)
class Targets:
    """`busy`: the share of its capacity that a replica should use at most. `queue`: mean waiting time, as a share of
    the SLO, beyond which more are needed. `refused`: the same of requests refused. Times in seconds."""

    busy: float = 0.6
    queue: float = 0.3
    refused: float = 0.005
    ahead_s: float = 60.0  # a pod takes so long
    trend_s: float = 120.0  # what the trend is read from
    down_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.busy <= 1:
            raise ValueError(f"busy is {self.busy}, and should be a share of a replica's capacity, over 0 and up to 1")
        if min(self.queue, self.refused, self.ahead_s, self.trend_s, self.down_s) < 0:
            raise ValueError("queue, refused and the times are not negative")


@dataclasses.dataclass(frozen=True)
class Span:
    """Between how many replicas a pool may choose. `look_s`: how often a replica says how busy it is. `first`: with
    how many it begins; None is the least."""

    least: int
    most: int
    look_s: float = 5.0
    targets: Targets = dataclasses.field(default_factory=Targets)
    first: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(f"from {self.least} to {self.most} replicas: give at least 1, and no less than that")
        if self.first is not None and not self.least <= self.first <= self.most:
            raise ValueError(f"first is {self.first}: give a number from least, {self.least}, to most, {self.most}")
        if not 0 < self.look_s <= 60:
            raise ValueError(f"look_s is {self.look_s}: give seconds over 0 and up to 60")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one replica says of its last seconds. `busy` and `refused` are shares, `queue` is waiting time by SLO."""

    busy: float
    queue: float = 0.0
    refused: float = 0.0


Sample = tuple[float, float, int]  # time, load in replicas' capacities, replicas needed


def decide(
    readings: Sequence[Reading], current: int, running: int, samples: Sequence[Sample], now: float, targets: Targets
) -> tuple[int, list[Sample]]:
    """(replicas wanted, the samples to remember). `current`: the replicas that there should be by now. `running`: those
    of which a reading is awaited; a pod for which there is no room has none, and may be given up."""
    if not readings:
        return current, list(samples)
    load = sum(reading.busy for reading in readings)
    needed = math.ceil(_ahead(load, samples, now, targets) / targets.busy - 1e-9)
    if any(reading.queue > targets.queue or reading.refused > targets.refused for reading in readings):
        needed = max(needed, len(readings) + max(1, len(readings) // 2))
    needed = max(1, needed)
    kept = _kept(samples, (now, load, needed), targets)
    most = max(sample[2] for sample in kept if now - sample[0] <= targets.down_s)
    if needed >= current:
        return needed, kept
    silent = len(readings) < min(current, running) or now - kept[0][0] < targets.down_s
    return current if silent else min(current, most), kept


def _ahead(load: float, samples: Sequence[Sample], now: float, targets: Targets) -> float:
    """The load when a replica that is asked for now has come: the trend goes on, and a falling one does not count."""
    recent = [(at - now, value) for at, value, _ in samples if 0 <= now - at <= targets.trend_s] + [(0.0, load)]
    if len(recent) < 3 or recent[-1][0] - recent[0][0] < targets.trend_s / 4:
        return load
    middle = sum(at for at, _ in recent) / len(recent)
    mean = sum(value for _, value in recent) / len(recent)
    spread = sum((at - middle) ** 2 for at, _ in recent)
    slope = sum((at - middle) * (value - mean) for at, value in recent) / spread
    return load + max(0.0, slope * targets.ahead_s)


def _kept(samples: Sequence[Sample], new: Sample, targets: Targets) -> list[Sample]:
    oldest = new[0] - max(targets.trend_s, targets.down_s) - 3 * STEP_S
    kept = [sample for sample in samples if oldest <= sample[0] <= new[0]]
    if kept and new[0] - kept[-1][0] < STEP_S and new[2] <= kept[-1][2]:
        return kept
    return [*kept, new]


class Scaling:
    """Serve's policy: made once in its controller by `policy_kwargs`, the fields of Targets."""

    def __init__(self, **targets: float) -> None:
        self._targets = Targets(**targets)

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        state = dict(context.policy_state or {})
        samples = [tuple(sample) for sample in state.get("samples", ())]
        current, running = context.target_num_replicas, context.current_num_replicas
        whole = state.get("whole", False) or running >= current
        wanted, kept = decide(
            readings_of(context.aggregated_metrics or {}),
            current,
            running,
            samples,
            context.current_time,
            self._targets,
        )
        if not whole:
            kept = _all_needed(kept, current)
        low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        return max(low, min(high, wanted)), {**state, "samples": kept, "whole": whole}


def _all_needed(samples: Sequence[Sample], current: int) -> list[Sample]:
    """Nobody sends to a new cluster before its first pods are all there: that it is idle says nothing of the need."""
    return [(at, load, max(needed, current)) for at, load, needed in samples]


def readings_of(metrics: Mapping[str, Mapping[Any, float]]) -> list[Reading]:
    """By replica; one that has said nothing yet is missing."""
    busy = metrics.get(BUSY, {})
    queue, refused = metrics.get(QUEUE, {}), metrics.get(REFUSED, {})
    return [Reading(value, queue.get(replica, 0.0), refused.get(replica, 0.0)) for replica, value in busy.items()]
