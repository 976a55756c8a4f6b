"""Writes ONNX graphs node by node, with weights drawn from one seeded source, so that a script makes the same file
everywhere. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR = 8
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Shape = Sequence[int | str]


class Graph:
    """A graph under construction. Every method that adds something returns the name of what it makes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """A node with one output."""
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=f"n{len(self._nodes)}", **attributes))
        return name

    def constant(self, value: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def normal(self, shape: Sequence[int], deviation: float) -> str:
        """Weights drawn from a normal distribution around 0."""
        return self.constant(self.random.normal(0.0, deviation, shape).astype(np.float32))

    def dense(self, x: str, inputs: int, outputs: int, output: str = "") -> str:
        """[..., inputs] -> [..., outputs], scaled so that a ReLU behind it keeps the size of what goes through."""
        product = self.add("MatMul", [x, self.normal((inputs, outputs), (2.0 / inputs) ** 0.5)])
        return self.add("Add", [product, self.normal((outputs,), 0.01)], output)

    def save(self, path: Path, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        graph = helper.make_graph(self._nodes, path.parent.name, list(inputs), list(outputs), self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))


def tensor(name: str, kind: int, shape: Shape) -> Any:
    """An input's or output's description; names in `shape` are free sizes."""
    return helper.make_tensor_value_info(name, kind, list(shape))
