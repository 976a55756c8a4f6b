"""Seldon's MLServer with ONNX Runtime in a custom runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.environments import Environment
from benchmark.subject import Model, Wire
from benchmark.subjects.peer import SERVERS, Peer, onnx_file

MAX_BATCH_SIZE = 64
MAX_BATCH_TIME_S = 0.001


class MLServer(Peer):
    """Of no batching, 0.1, 1 and 5 ms, 1 ms had the highest rates with 32 callers; a parallel worker cost processor
    time and brought none back."""

    name = "MLServer"
    settings = (
        f"mlserver 1.7.1, custom runtime; adaptive batching of {MAX_BATCH_SIZE} requests and {MAX_BATCH_TIME_S} s, "
        "parallel_workers 0 (inference in the server's own process), after its documents on both"
    )
    protocols: frozenset[Wire] = frozenset({"json", "grpc"})

    def __init__(self, scratch: Path, *, batch_time_s: float = MAX_BATCH_TIME_S, workers: int = 0) -> None:
        super().__init__(scratch, Environment("mlserver"))
        self._batch_time_s = batch_time_s
        self._workers = workers

    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        ports = {"http_port": base, "grpc_port": base + 1, "metrics_port": base + 2}
        server = {"host": "127.0.0.1", **ports, "parallel_workers": self._workers, "debug": False}
        _write(folder / "settings.json", server)
        for model in models:
            _write(folder / model.name / "model-settings.json", self._model(model, threads))
        return [str(self.environment.python.with_name("mlserver")), "start", str(folder)]

    def variables(self, base: int, folder: Path) -> Mapping[str, str]:
        return {"PYTHONPATH": str(SERVERS)}

    def _model(self, model: Model, threads: int) -> dict[str, Any]:
        return {
            "name": model.name,
            "implementation": "mlserver_runtime.OnnxRuntime",
            "parameters": {"uri": str(onnx_file(model)), "extra": {"threads": threads}},
            "max_batch_size": MAX_BATCH_SIZE,
            "max_batch_time": self._batch_time_s,
        }


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
