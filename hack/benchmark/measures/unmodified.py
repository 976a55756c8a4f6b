"""A client that knows nothing of Fairlead: Triton's perf_analyzer, at whoever tells a model's configuration."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from benchmark.figures import Figure
from benchmark.load.generator import GeneratorFailed
from benchmark.load.perf_analyzer import Protocol, perf_analyzer
from benchmark.measure import Bench
from benchmark.subject import Endpoint, Subject

_MODEL = "tiny"
_IN_FLIGHT = 32
_PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")


class Unmodified:
    names = ("perf-analyzer-tiny",)
    needs = (_MODEL,)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in bench.subjects.values():
            if subject.role == "limit":
                continue
            try:
                with subject.serve([bench.models[_MODEL]], bench.threads) as endpoint:
                    yield from self._measured(bench, subject, endpoint)
            except GeneratorFailed as fault:
                # Not every peer lets itself be asked what perf_analyzer asks: pytriton wants a token for it.
                tell = bench.fail if subject.role == "fairlead" else bench.say
                tell(f"{subject.name}, perf_analyzer: {fault}")
            except Exception as fault:  # whatever a subject can bring: the others go on
                bench.fail(f"{subject.name}, perf_analyzer: {fault}")

    def _measured(self, bench: Bench, subject: Subject, endpoint: Endpoint) -> Iterator[Figure]:
        if httpx.get(f"http://{endpoint.http}/v2/models/{_MODEL}/config", timeout=10).status_code != httpx.codes.OK:
            bench.say(f"{subject.name}: tells no model configuration, which perf_analyzer asks for")
            return
        for protocol in _PROTOCOLS:
            if getattr(endpoint, protocol):
                bench.say(f"{subject.name}: perf_analyzer over {protocol}")
                load = perf_analyzer(protocol, endpoint, bench.models[_MODEL], _IN_FLIGHT, bench.seconds)
                note = f"perf_analyzer took {load.busy:.2f} cores"
                yield Figure(self.names[0], subject.name, load.rate, "requests/s", "more", part=protocol, note=note)
