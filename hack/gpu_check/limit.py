"""ONNX Runtime by itself on a device, with the provider's options that Fairlead uses: no server can do more with it.

    python -m gpu_check.limit MODEL.onnx INPUTS.pickle SECONDS PROVIDER

Prints the rows a second by the rows of a run, as JSON; a process of its own.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmark.load.generator import run
from benchmark.subject import Model
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import cuda

ROWS = (1, 8, 32)
START_S = 60.0


def rates(model: Model, seconds: float, provider: str) -> dict[int, float]:
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs.pickle")
        inputs.write_bytes(pickle.dumps(dict(model.inputs)))
        command = [
            sys.executable,
            "-m",
            __name__,
            str(model.folder / "model.onnx"),
            str(inputs),
            str(seconds),
            provider,
        ]
        printed = run(command, len(ROWS) * seconds + START_S, environment={"PYTHONPATH": ":".join(sys.path)})
    return msgspec.json.decode(printed.out, type=dict[int, float])


def _main(path: str, inputs: str, seconds: str, provider: str) -> None:
    import onnxruntime as ort

    with contextlib.redirect_stdout(sys.stderr):  # it prints what it misses
        ort.preload_dlls()
    ort.set_default_logger_severity(4)
    device = [("CUDAExecutionProvider", cuda.options(VersionSettings()))] if provider == "cuda" else []
    session = ort.InferenceSession(path, providers=[*device, "CPUExecutionProvider"], enable_fallback=0)
    if device and "CUDAExecutionProvider" not in session.get_providers():
        raise SystemExit("CUDA could not be started")
    request = pickle.loads(Path(inputs).read_bytes())  # noqa: S301 (written by `rates` a moment ago)
    found = {rows: _rate(session, request, rows, float(seconds)) for rows in ROWS}
    sys.stdout.write(msgspec.json.encode(found).decode())


def _rate(session: Any, request: dict[str, np.ndarray], rows: int, seconds: float) -> float:
    inputs = {name: np.concatenate([array] * rows) for name, array in request.items()}
    for _ in range(5):
        session.run(None, inputs)
    runs, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        session.run(None, inputs)
        runs += 1
    return runs * rows / elapsed


def main(argv: Sequence[str]) -> None:
    _main(*argv)


if __name__ == "__main__":
    main(sys.argv[1:])
