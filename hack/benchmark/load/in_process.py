"""ONNX Runtime by itself, without a server: the limit of what any server can do with it.

    python -m benchmark.load.in_process MODEL.onnx INPUTS.pickle THREADS SECONDS ROWS...

Prints the rows a second for each number of rows a run, as JSON. Run as a process of its own, so that nothing of the
benchmark is in its way; ONNX Runtime's defaults but for the number of threads.
"""

from __future__ import annotations

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


def in_process(model: Model, threads: int, seconds: float, rows: Sequence[int] = (1, 8)) -> dict[int, float]:
    """Rows a second for each number of rows a run, measured for `seconds` each."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs.pickle")
        inputs.write_bytes(pickle.dumps(dict(model.inputs)))
        path = model.folder / "model.onnx"
        command = [sys.executable, "-m", __name__, str(path), str(inputs), str(threads), str(seconds)]
        command += map(str, rows)
        printed = run(command, len(rows) * seconds, environment={"PYTHONPATH": ":".join(sys.path)})
    return msgspec.json.decode(printed.out, type=dict[int, float])


def _main(path: str, inputs: str, threads: str, seconds: str, *rows: str) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    request = pickle.loads(Path(inputs).read_bytes())  # noqa: S301 (written by in_process a moment ago)
    rates = {many: _rate(session, _repeated(request, many), many, float(seconds)) for many in map(int, rows)}
    sys.stdout.write(msgspec.json.encode(rates).decode())


def _rate(session: Any, request: dict[str, Any], rows: int, seconds: float) -> float:
    for _ in range(3):
        session.run(None, request)
    runs, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        session.run(None, request)
        runs += 1
    return runs * rows / elapsed


def _repeated(request: dict[str, Any], rows: int) -> dict[str, Any]:
    return {name: np.concatenate([array] * rows) for name, array in request.items()}


if __name__ == "__main__":
    _main(*sys.argv[1:])
