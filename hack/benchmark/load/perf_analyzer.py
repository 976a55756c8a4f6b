"""perf_analyzer: Triton's own load generator, as a client that knows nothing of Fairlead. Closed loop, both protocols.

It asks for the model's metadata and configuration, makes its requests up, and measures windows until three agree; here
any three do, for the spread is told by rounds.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Literal

from benchmark.figures import Load
from benchmark.load.generator import GeneratorFailed, run
from benchmark.load.tools import tool
from benchmark.subject import Endpoint, Model

Protocol = Literal["http", "grpc"]
_WINDOWS = 3


def perf_analyzer(protocol: Protocol, endpoint: Endpoint, model: Model, in_flight: int, seconds: float) -> Load:
    """`seconds` are all windows together."""
    path = tool("perf_analyzer")
    window_ms = round(seconds * 1e3 / _WINDOWS)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.csv")
        command = [path, "-m", model.name, "-i", protocol, "-u", getattr(endpoint, protocol), "-f", str(found)]
        command += ["--concurrency-range", str(in_flight), "--measurement-interval", str(window_ms)]
        command += ["--max-trials", str(_WINDOWS), "--stability-percentage", "999"]
        for name, array in model.inputs.items():
            command += ["--shape", f"{name}:{','.join(map(str, array.shape))}"]
        printed = run(command, seconds, environment={"LD_LIBRARY_PATH": str(Path(path).parent)})
        return parse(found.read_text() if found.exists() else "", seconds, printed.cpu_s)


def parse(table: str, seconds: float, cpu_s: float) -> Load:
    """It counts no failures: with one it ends. Its table has no tail beyond p99."""
    rows = list(csv.DictReader(table.splitlines()))
    if not rows:
        raise GeneratorFailed("perf_analyzer wrote no figures")
    rate, p50, p99 = (float(rows[0][name]) for name in ("Inferences/Second", "p50 latency", "p99 latency"))
    return Load(
        generator="perf_analyzer",
        seconds=seconds,
        sent=round(rate * seconds),
        good=round(rate * seconds),
        failed={},
        rate=rate,
        p50_ms=p50 / 1e3,
        p99_ms=p99 / 1e3,
        p999_ms=0.0,
        most_ms=0.0,
        busy=cpu_s / seconds,
    )
