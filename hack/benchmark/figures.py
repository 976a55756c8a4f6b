"""What was read, and what becomes of it: values, and no way to measure any."""

from __future__ import annotations

from typing import Literal

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One reading in one round. `measure` is the row's name ("tiny-json-c32"), `part` one of several figures of the
    same row ("p99 quiet")."""

    measure: str
    subject: str
    value: float
    unit: str
    better: Literal["more", "less"]
    part: str = ""
    note: str = ""


class Load(msgspec.Struct, frozen=True):
    """What a generator saw. Rates in requests a second, times in milliseconds; `late` are good answers after the
    deadline, where one was given; `goodput` counts the good answers within it, a second. `busy` is the processor time
    of the generator itself, in cores: near the number of its threads it was the bottleneck."""

    generator: str
    seconds: float
    sent: int
    good: int
    failed: dict[str, int]
    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    late: int = 0
    goodput: float = 0.0
    busy: float = 0.0


def failures(load: Load) -> str:
    """For a note: "12 timeout, 3 503", or "" where nothing failed."""
    return ", ".join(f"{count} {kind}" for kind, count in load.failed.items())


class Row(msgspec.Struct, frozen=True):
    """A line of the report. `value` is the median of `rounds`. `ratio` is to `against`, the best peer or the limit that
    the goal names; `met` is None where the goal is only to tell. `cause` says where a missed goal's time goes."""

    measure: str
    part: str
    subject: str
    value: float
    unit: str
    rounds: tuple[float, ...]
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""
    cause: str = ""
