"""ResNet-18 and BERT served from the GPU, beside what ONNX Runtime does there by itself, and the memory both take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmark import models
from benchmark.answers import check
from benchmark.load.calls import call_of
from benchmark.load.loops import closed_loop
from benchmark.subject import Model
from benchmark.subjects.fairlead import Fairlead
from gpu_check import limit, machine
from gpu_check.report import Figure

MODELS = ("resnet18", "bert")
CONNECTIONS = 8
WARM_UP_S = 3.0
THREADS = 1  # ONNX Runtime's on the CPU: the work is on the GPU

Say = Callable[[str], None]


def measure(
    scratch: Path, seconds: float, say: Say, provider: str = "cuda", used_mib: Callable[[], float] = machine.used_mib
) -> tuple[list[Figure], list[str]]:
    """Figures, and what could not be measured."""
    found: list[Figure] = []
    failures: list[str] = []
    for name, model in models.build(MODELS, scratch / "models").items():
        try:
            found += _by_itself(model, seconds, say, provider)
            found += _served(scratch, model, seconds, say, provider, used_mib)
        except Exception as fault:  # whatever breaks one model's figures: the other's go on, and the report tells it
            failures.append(f"{name}: {type(fault).__name__}: {fault}")
    return found, failures


def _by_itself(model: Model, seconds: float, say: Say, provider: str) -> Iterator[Figure]:
    say(f"{model.name}: ONNX Runtime by itself")
    for rows, rate in limit.rates(model, seconds / 2, provider).items():
        yield Figure(model.name, f"ONNX Runtime in process, {rows} rows a run", rate, "rows/s")


def _served(
    scratch: Path, model: Model, seconds: float, say: Say, provider: str, used_mib: Callable[[], float]
) -> Iterator[Figure]:
    say(f"{model.name}: served, {CONNECTIONS} connections")
    before = used_mib()
    subject = Fairlead(scratch, settings={model.name: {"providers": [provider]}})
    with subject.serve([model], THREADS) as endpoint:
        yield Figure(model.name, "GPU memory when ready", used_mib() - before, "MiB", "context, weights, warmed arena")
        check(endpoint, model, "binary")
        call = call_of("binary", endpoint, model)
        closed_loop(call, CONNECTIONS, WARM_UP_S)
        load = closed_loop(call, CONNECTIONS, seconds)
        yield Figure(model.name, "GPU memory under load", used_mib() - before, "MiB")
    failed = ", ".join(f"{count} {kind}" for kind, count in load.failed.items())
    yield Figure(model.name, f"Fairlead, HTTP binary, {CONNECTIONS} connections", load.rate, "requests/s", failed)
    yield Figure(model.name, "p50", load.p50_ms, "ms")
    yield Figure(model.name, "p99 of the closed loop", load.p99_ms, "ms")
