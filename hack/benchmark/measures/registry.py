"""Every measure that there is. Who adds one adds an entry here, and its title (and goal) in goals.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmark.measure import Measure
from benchmark.measures import (
    beside,
    catalog,
    engines,
    lengths,
    loading,
    memory,
    overload,
    ready,
    throughput,
    unmodified,
)


class Entry(NamedTuple):
    """`make` is given those of its rows' names that were asked for; `tools` are the generators that it uses; `beside`
    says whether it measures peers and limits, too. What takes long has fewer rounds than the others."""

    names: tuple[str, ...]
    make: Callable[[Sequence[str]], Measure]
    tools: tuple[str, ...] = ()
    beside: bool = False
    most_rounds: int = 1_000


ENTRIES = (
    Entry(tuple(row.name for row in throughput.ROWS), throughput.Throughput, ("wrk", "h2load", "ghz"), beside=True),
    Entry(
        unmodified.Unmodified.names, lambda _: unmodified.Unmodified(), ("perf_analyzer",), beside=True, most_rounds=1
    ),
    Entry(lengths.Lengths.names, lambda _: lengths.Lengths(), ("wrk",), most_rounds=1),
    Entry(("engine-ray",), engines.Engines, ("wrk",)),
    Entry(("workers",), engines.Engines, ("wrk",), most_rounds=1),
    Entry((loading.NAME,), loading.LoadUnderLoad, ("wrk", "vegeta"), most_rounds=1),
    Entry(("catalog-change",), catalog.CatalogChange, ("vegeta",), most_rounds=1),
    Entry(("catalog-change-5000",), catalog.CatalogChange, ("vegeta",), most_rounds=1),
    Entry(overload.Overload.names, lambda _: overload.Overload(), ("wrk", "vegeta"), beside=True, most_rounds=1),
    Entry(beside.Beside.names, lambda _: beside.Beside(), ("wrk", "vegeta"), most_rounds=1),
    Entry((memory.NAME,), memory.Memory, beside=True, most_rounds=1),
    Entry(tuple(name for name, _, _ in ready.ROWS), ready.Ready, most_rounds=2),
)
NAMES = tuple(name for entry in ENTRIES for name in entry.names)


def needs(name: str) -> frozenset[str]:
    """The models that a row needs."""
    (entry,) = [entry for entry in ENTRIES if name in entry.names]
    return frozenset(entry.make([name]).needs)
