"""How much, and how fast: closed loops on every subject that speaks the wire. A subject is started once in a round.

A closed loop tells rates and the median of one caller, and no tail: it stops asking while it waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmark.answers import check
from benchmark.figures import Figure, Load, failures
from benchmark.goals import IN_PROCESS
from benchmark.load.calls import call_of
from benchmark.load.generator import GeneratorFailed
from benchmark.load.ghz import closed_grpc as closed_ghz
from benchmark.load.in_process import in_process
from benchmark.load.loops import closed_loop
from benchmark.measure import Bench
from benchmark.subject import Endpoint, Model, Subject, Wire

_WARM_UP_S = 1.0
_CONSTANTS = frozenset({"tiny", "mlp"})  # what a server costs that answers a constant is asked with small bodies


class Closed(NamedTuple):
    """One row; `p50`: its goal is about the median latency, not about the rate. `lasts` times the usual load: what is
    under way at the end is not counted, which shows where answers are few."""

    name: str
    model: str
    wire: Wire
    in_flight: int
    p50: bool = False
    lasts: int = 1


ROWS = (
    Closed("tiny-json-c32", "tiny", "json", 32),
    Closed("tiny-json-c1", "tiny", "json", 1, p50=True),
    Closed("mlp-binary-c32", "mlp", "binary", 32),
    Closed("mlp-grpc-c32", "mlp", "grpc", 32),
    Closed("resnet-c8", "resnet18", "binary", 8, lasts=4),
    Closed("bert-c8", "bert", "binary", 8, lasts=2),
    Closed("pipeline-json", "pipeline", "json", 32),
)


class Throughput:
    """The closed loops that were asked for, on all subjects, and beside them what ONNX Runtime does by itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self._rows = [row for row in ROWS if row.name in names]
        self.names = tuple(row.name for row in self._rows)
        self.needs = tuple(dict.fromkeys(row.model for row in self._rows))

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in bench.subjects.values():
            yield from measured(bench, subject, [row for row in self._rows if _fits(row, subject)])
        for model in self.needs:
            yield from self._by_itself(bench, bench.models[model])

    def _by_itself(self, bench: Bench, model: Model) -> Iterator[Figure]:
        """At best: a row a run, or as many as there are callers."""
        bench.say(f"{IN_PROCESS}: {model.name}")
        callers = {row.in_flight for row in self._rows if row.model == model.name}
        rates = in_process(model, bench.threads, bench.seconds / 2, sorted(callers | {1}))
        best = max(rates, key=lambda rows: rates[rows])
        note = ", ".join(f"{rate:,.0f} rows a second with {rows} in a run" for rows, rate in rates.items())
        for row in self._rows:
            if row.model == model.name and not row.p50:
                yield Figure(row.name, IN_PROCESS, rates[best], "requests/s", "more", note=note)


def measured(bench: Bench, subject: Subject, rows: Sequence[Closed]) -> Iterator[Figure]:
    """Start the subject, check its answers, load it, and end it. Its failure is told, and nobody else's."""
    models = [bench.models[name] for name in dict.fromkeys(row.model for row in rows)]
    if not models:
        return
    bench.say(f"{subject.name}: starts with {', '.join(model.name for model in models)}")
    try:
        with subject.serve(models, bench.threads) as endpoint:
            if subject.role != "limit":
                for model, wire in dict.fromkeys((row.model, row.wire) for row in rows):
                    check(endpoint, bench.models[model], wire)
            for row in rows:
                yield from _loaded(bench, subject, row, endpoint)
    except Exception as fault:  # whatever a subject can bring: the others go on
        bench.fail(f"{subject.name}: {fault}")


def _loaded(bench: Bench, subject: Subject, row: Closed, endpoint: Endpoint) -> Iterator[Figure]:
    bench.say(f"{subject.name}: {row.name}")
    call = call_of(row.wire, endpoint, bench.models[row.model])
    try:
        closed_loop(call, row.in_flight, _WARM_UP_S)
        if subject.role != "limit":
            check(endpoint, bench.models[row.model], row.wire)  # comes when all is run that the warm-up left behind
        load = closed_loop(call, row.in_flight, row.lasts * bench.seconds)
        if not load.good:
            raise GeneratorFailed(f"nothing was answered: {load.failed}")
        yield from _figures(row, subject.name, load)
        if row.wire == "grpc":
            yield _by_ghz(row, subject.name, closed_ghz(call, row.in_flight, bench.seconds))
    except GeneratorFailed as fault:  # the subject's other rows go on
        bench.fail(f"{subject.name}, {row.name}: {fault}")


def _by_ghz(row: Closed, subject: str, load: Load) -> Figure:
    """What a client in Go gets, whose own calls cost as much as a server's: here it is the bottleneck."""
    return Figure(row.name, subject, load.rate, "requests/s", "more", part="by ghz", note=_note(load))


def _figures(row: Closed, subject: str, load: Load) -> Iterator[Figure]:
    note = _note(load)
    yield Figure(row.name, subject, load.rate, "requests/s", "more", part="rate" if row.p50 else "", note=note)
    if row.p50:
        yield Figure(row.name, subject, load.p50_ms, "ms", "less", note=note)


def _note(load: Load) -> str:
    failed = failures(load)
    return f"{load.generator} took {load.busy:.2f} cores" + (f"; failed: {failed}" if failed else "")


def _fits(row: Closed, subject: Subject) -> bool:
    return row.wire in subject.protocols and (subject.role != "limit" or row.model in _CONSTANTS)
