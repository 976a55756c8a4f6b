"""A client that knows nothing of Fairlead: Triton's perf_analyzer, at whoever tells it a model's configuration.

Of the peers that is Triton alone: the others have no such path, and pytriton closes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.figures import Figure
from benchmark.goals import FAIRLEAD
from benchmark.load.perf_analyzer import Protocol, perf_analyzer
from benchmark.measure import Bench
from benchmark.subject import Endpoint, Subject

_TOLD_BY = (FAIRLEAD, "Triton (Python back end)")
_MODEL = "tiny"
_IN_FLIGHT = 32
_PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")


class Unmodified:
    names = ("perf-analyzer-tiny",)
    needs = (_MODEL,)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in (bench.subjects[name] for name in _TOLD_BY if name in bench.subjects):
            try:
                with subject.serve([bench.models[_MODEL]], bench.threads) as endpoint:
                    yield from self._measured(bench, subject, endpoint)
            except Exception as fault:  # whatever a subject can bring: the others go on
                bench.fail(f"{subject.name}, perf_analyzer: {fault}")

    def _measured(self, bench: Bench, subject: Subject, endpoint: Endpoint) -> Iterator[Figure]:
        for protocol in _PROTOCOLS:
            bench.say(f"{subject.name}: perf_analyzer over {protocol}")
            load = perf_analyzer(protocol, endpoint, bench.models[_MODEL], _IN_FLIGHT, bench.seconds)
            note = f"perf_analyzer took {load.busy:.2f} cores"
            yield Figure(self.names[0], subject.name, load.rate, "requests/s", "more", part=protocol, note=note)
