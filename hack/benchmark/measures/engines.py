"""What Ray around a replica costs, and what a second worker brings: Fairlead against itself, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from benchmark.figures import Figure
from benchmark.goals import FAIRLEAD, FAIRLEAD_RAY
from benchmark.load.generator import cores
from benchmark.measure import Bench
from benchmark.measures.throughput import Closed, measured
from benchmark.subjects.fairlead import Fairlead

# Single seconds of one engine differ by more than the two engines do.
_TINY = Closed("tiny", "tiny", "json", 32, lasts=3)
_RESNET = Closed("ResNet-18", "resnet18", "binary", 8, lasts=4)
_TWO = "fairlead, 2 workers"


class Engines:
    """`engine-ray` has the tiny model, where the engine would show; `workers` also one whose run dominates."""

    needs = ("tiny", "resnet18")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(name for name in ("engine-ray", "workers") if name in names)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject, rows in self._variants(bench):
            for figure in measured(bench, subject, rows):
                yield from self._told(figure)

    def _variants(self, bench: Bench) -> Iterator[tuple[Fairlead, list[Closed]]]:
        both = [_TINY, _RESNET]
        yield Fairlead(bench.scratch, FAIRLEAD), both if "workers" in self.names else [_TINY]
        if "engine-ray" in self.names:
            yield Fairlead(bench.scratch, FAIRLEAD_RAY, engine="ray"), [_TINY]
        if "workers" in self.names:
            yield Fairlead(bench.scratch, _TWO, workers=2), both

    def _told(self, figure: Figure) -> Iterator[Figure]:
        """One reading of one worker serves both rows."""
        if "engine-ray" in self.names and figure.subject != _TWO and figure.measure == _TINY.name:
            yield msgspec.structs.replace(figure, measure="engine-ray")
        if "workers" in self.names and figure.subject != FAIRLEAD_RAY:
            note = f"{cores()} cores; {figure.note}"
            yield msgspec.structs.replace(figure, measure="workers", part=figure.measure, note=note)
