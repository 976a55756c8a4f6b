"""Every measure that there is. Who adds one adds a line here, and its title (and goal) in goals.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.measure import Measure
from benchmark.measures import engines, throughput

_MAKERS: tuple[tuple[tuple[str, ...], Callable[[Sequence[str]], Measure]], ...] = (
    (tuple(row.name for row in throughput.ROWS), throughput.Throughput),
    (("engine-ray", "workers"), engines.Engines),
)
NAMES = tuple(name for names, _ in _MAKERS for name in names)


def measures(names: Sequence[str]) -> list[Measure]:
    """Those that bring figures for the rows named, each for those of its own only."""
    return [make([name for name in own if name in names]) for own, make in _MAKERS if any(n in names for n in own)]
