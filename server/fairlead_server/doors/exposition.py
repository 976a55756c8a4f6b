"""Prometheus' text format 0.0.4, for pages of many versions: one family of samples at a time.
https://prometheus.io/docs/instrumenting/exposition_formats/

Written here because the client library takes 0.4 ms for each version, during which the supervisor answers nobody: its
objects serve a process that counts, and this one only hands on what others counted. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

Samples = Iterable[tuple[str, float]]  # labels (`labels`), and the value


def labels(given: Mapping[str, str]) -> str:
    """As they stand between the braces, sorted by name."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(given.items()))


def family(name: str, kind: str, text: str, samples: Samples) -> str:
    """A counter or gauge. A counter's name has its `_total` where it should have one."""
    lines = [_head(name, kind, text)]
    lines += [f"{name}{{{of}}} {float(value)!r}" if of else f"{name} {float(value)!r}" for of, value in samples]
    return "\n".join(lines) + "\n"


def histogram(name: str, text: str, bounds: Sequence[str], samples: Iterable[tuple[str, Sequence[int], float]]) -> str:
    """`bounds` as they are written, without +Inf; a sample is its labels, the counts of the places (one more than
    bounds, not cumulative), and the sum."""
    lines = [_head(name, "histogram", text)]
    places = [*bounds, "+Inf"]
    for of, counts, total in samples:
        last = 0
        for bound, last in zip(places, accumulate(counts), strict=True):
            lines.append(f'{name}_bucket{{le="{bound}",{of}}} {float(last)!r}')
        lines.append(f"{name}_count{{{of}}} {float(last)!r}")
        lines.append(f"{name}_sum{{{of}}} {float(total)!r}")
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
