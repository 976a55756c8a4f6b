"""What a measure is: rounds of readings over the subjects of one run.

Rounds of all measures are interleaved by whoever runs them, so a measure does one round at a time and
starts and stops what it measures itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from benchmark.figures import Figure
from benchmark.subject import Model, Subject


@dataclasses.dataclass(frozen=True)
class Bench:
    """One run of the benchmark. `subjects` and `models` by name; `threads` are ONNX Runtime's for one run;
    `seconds` is how long one load lasts; `quick` asks for the shortest run that still shows that all of it works.
    `say` tells how far it is; `fail` what was asked for and could not be measured, which the exit status shows."""

    subjects: Mapping[str, Subject]
    models: Mapping[str, Model]
    scratch: Path
    threads: int
    seconds: float
    quick: bool
    say: Callable[[str], None]
    fail: Callable[[str], None]


class Measure(Protocol):
    """`names` are the rows that it brings figures for; `needs` the models it serves."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    def round(self, bench: Bench) -> Iterator[Figure]:
        """One round over the subjects that the run has and the measure knows. A subject that fails is told by
        `fail`, and the others go on."""
        ...
