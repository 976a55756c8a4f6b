"""What the answers of the demo add up to: values in, values out; no clock, no file, no client.

Answer   one request as the clients saw it
Truth    what each version answers by itself, and since when it was ready
Figures  counts, accuracy and latency of any set of answers
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """Times are Unix time in seconds; `error` is empty unless the request was lost."""

    protocol: str
    sample: int
    due: float
    done: float
    version: str = ""
    label: int = -1
    error: str = ""

    @property
    def latency_ms(self) -> float:
        """From when the request was due, so that a stall counts against every request that it held up."""
        return (self.done - self.due) * 1000


@dataclass
class Truth:
    """`labels`: version -> its own answer to each sample. `ready`: version -> since when (absent: never)."""

    digits: Sequence[int]
    labels: Mapping[str, Sequence[int]]
    ready: dict[str, float] = field(default_factory=dict)

    def wrong(self, answer: Answer) -> str:
        """Why this answer should not have been given; "" when it is right."""
        since = self.ready.get(answer.version)
        if since is None or answer.done < since:
            return f"version {answer.version} answered and was not ready"
        if answer.version not in self.labels:
            return f"version {answer.version} answered, and the demo registered no such version"
        if self.labels[answer.version][answer.sample] != answer.label:
            return f"sample {answer.sample}: version {answer.version} by itself answers another digit"
        return ""


@dataclass(frozen=True)
class Figures:
    """Of a set of answers. The shares and latencies are of those that came, NaN where none came."""

    requests: int
    lost: int
    accuracy: float
    p50_ms: float
    p99_ms: float


def add_up(answers: Iterable[Answer], digits: Sequence[int]) -> Figures:
    """The figures of these answers."""
    all_of_them = list(answers)
    came = [answer for answer in all_of_them if not answer.error]
    right = sum(digits[answer.sample] == answer.label for answer in came)
    latencies = sorted(answer.latency_ms for answer in came)
    return Figures(
        requests=len(all_of_them),
        lost=len(all_of_them) - len(came),
        accuracy=right / len(came) if came else math.nan,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in rising order; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def by_version(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """The answers that came, by the version that gave them, in order of number."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        if not answer.error:
            found.setdefault(answer.version, []).append(answer)
    return dict(sorted(found.items(), key=lambda entry: (len(entry[0]), entry[0])))


@dataclass(frozen=True)
class Switch:
    """One promotion: seconds after the alias was moved; None for what did not happen."""

    version: str
    promoted_at: float
    ready_s: float | None
    first_answer_s: float | None
    last_old_answer_s: float | None


def switch(version: str, promoted_at: float, answers: Iterable[Answer], ready: Mapping[str, float]) -> Switch:
    """How the traffic moved to `version`. Old answers count until the first answers of a still newer version."""
    new: list[float] = []
    old: list[float] = []
    for answer in answers:
        if answer.error or answer.done < promoted_at:
            continue
        if answer.version == version:
            new.append(answer.done)
        elif not new or answer.done < max(new):
            old.append(answer.done)
    return Switch(
        version,
        promoted_at,
        ready[version] - promoted_at if version in ready else None,
        min(new) - promoted_at if new else None,
        max(old) - promoted_at if old and new else None,
    )
