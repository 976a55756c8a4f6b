"""Requests that differ in length: what padding brings, told against one by one, on the same model and sentences.

One by one is the same server with batches of one row. Between the two stands what a server does that is told nothing:
only equal lengths meet. Peers are asked the same; none of them fills lengths up by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

import numpy as np

from benchmark import models
from benchmark.answers import check
from benchmark.figures import Figure
from benchmark.goals import FAIRLEAD, IN_PROCESS
from benchmark.load.calls import call_of
from benchmark.load.generator import GeneratorFailed
from benchmark.load.in_process import in_process
from benchmark.load.loops import closed_loop
from benchmark.measure import Bench
from benchmark.subject import Array, Endpoint, Model, Subject
from benchmark.subjects.fairlead import Fairlead

NAME, MODEL = "bert-mixed", "bert"
SHORTEST, LONGEST, SENTENCES = 8, 64, 128
PADDED: Mapping[str, Any] = {
    "padding": {"input_ids": {"mask": "attention_mask", "trim": {"last_hidden_state": 1}}},
}
_CONNECTIONS = 8
_WARM_UP_S = 2.0
_LIMITS = 5  # lengths that stand for all in the limit


def sentences() -> list[dict[str, Array]]:
    """Of lengths drawn evenly, always the same ones."""
    lengths = np.random.default_rng(8).integers(SHORTEST, LONGEST + 1, SENTENCES)
    return [models.sentence(int(length), seed=at) for at, length in enumerate(lengths)]


class Lengths:
    """8 connections, each sending the sentences in turn."""

    names = (NAME,)
    needs = (MODEL,)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in self._subjects(bench):
            yield from self._measured(bench, subject)
        if not bench.quick:
            yield self._by_itself(bench)

    def _subjects(self, bench: Bench) -> Iterator[Subject]:
        if FAIRLEAD in bench.subjects:
            yield Fairlead(bench.scratch, FAIRLEAD, settings={MODEL: PADDED})
            yield Fairlead(bench.scratch, "fairlead, no padding")
            yield Fairlead(bench.scratch, "fairlead, one by one", settings={MODEL: {"max_batch_size": 1}})
        yield from (subject for subject in bench.subjects.values() if subject.role == "peer")

    def _measured(self, bench: Bench, subject: Subject) -> Iterator[Figure]:
        if "binary" not in subject.protocols:
            return
        model = bench.models[MODEL]
        bench.say(f"{subject.name}: {NAME}")
        try:
            with subject.serve([model], bench.threads) as endpoint:
                for length in (SHORTEST, LONGEST):
                    check(endpoint, _asking(model, models.sentence(length)), "binary")
                yield from _loaded(bench, subject.name, endpoint, model)
        except Exception as fault:  # whatever a subject can bring: the others go on
            bench.fail(f"{subject.name}, {NAME}: {fault}")

    def _by_itself(self, bench: Bench) -> Figure:
        """What ONNX Runtime does with these lengths when only equal ones meet and nothing is filled up."""
        bench.say(f"{IN_PROCESS}: {NAME}")
        lengths = np.linspace(SHORTEST, LONGEST, _LIMITS).round().astype(int).tolist()
        rates = [self._rates(bench, length) for length in lengths]
        alone, most = (1 / fmean(1 / choose(known) for known in rates) for choose in (lambda r: r[1], _best))
        note = f"the mean over the lengths {', '.join(map(str, lengths))}; {alone:,.0f} rows a second one by one"
        return Figure(NAME, IN_PROCESS, most, "requests/s", "more", note=note)

    def _rates(self, bench: Bench, length: int) -> dict[int, float]:
        model = bench.models[MODEL]._replace(inputs=models.sentence(length))
        return in_process(model, bench.threads, bench.seconds / 2 / _LIMITS)


def _loaded(bench: Bench, subject: str, endpoint: Endpoint, model: Model) -> Iterator[Figure]:
    call = call_of("binary", endpoint, model, requests=sentences())
    closed_loop(call, _CONNECTIONS, _WARM_UP_S)
    load = closed_loop(call, _CONNECTIONS, bench.seconds)
    if not load.good or load.failed:
        raise GeneratorFailed(f"{load.good} were answered, and of the others: {load.failed}")
    note = f"p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms; {load.generator} took {load.busy:.2f} cores"
    yield Figure(NAME, subject, load.rate, "requests/s", "more", note=note)


def _asking(model: Model, inputs: Mapping[str, Array]) -> Model:
    return model._replace(inputs=inputs, outputs=models.run(model.folder / "model.onnx", inputs))


def _best(rates: Mapping[int, float]) -> float:
    return max(rates.values())
