"""The model that Triton's Python back end loads: one ONNX Runtime session, all requests of a batch in one run.

Runs in Triton's stub process. Triton's batcher chooses what is in a batch; joining it is left to the model.
https://github.com/triton-inference-server/python_backend#usage
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from session import OnnxModel, as_bytes


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        path, threads = (parameters[key]["string_value"] for key in ("onnx", "threads"))
        self._model = OnnxModel(args["model_name"], path, int(threads))

    def execute(self, requests: list[Any]) -> list[Any]:
        parts = [
            [triton.get_input_tensor_by_name(request, spec.name).as_numpy() for spec in self._model.inputs]
            for request in requests
        ]
        whole = parts[0] if len(parts) == 1 else [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        values = self._model.run({spec.name: value for spec, value in zip(self._model.inputs, whole, strict=True)})
        outputs = list(zip(self._model.outputs, values, strict=True))
        answers, start = [], 0
        for part in parts:
            rows = slice(start, start := start + len(part[0]))
            answers.append(triton.InferenceResponse([tensor(spec, value[rows]) for spec, value in outputs]))
        return answers


def tensor(spec: Any, value: Any) -> Any:
    """Triton has no output of rows alone: such a one is [rows, 1]."""
    return triton.Tensor(spec.name, as_bytes(value if spec.shape else value.reshape(-1, 1)))
