"""Registers small ONNX models in a real MLflow, as a data scientist would.

    python tests/harness/register.py URI       a process of its own, kept for many: mlflow is slow to import

Reads lines `MODEL KIND...`; each KIND becomes the next version of MODEL. Answers each with a line of JSON:
{version: {"kind", "uri", "inputs", "outputs"}}, where outputs are what ONNX Runtime itself answers to the inputs.

    linear-SEED   input [n, 4] -> output [n, 3], other weights for each seed
    other         input `features` [n, 5] -> output [n, 2]: another signature
    kills-loading constant folding divides INT_MIN by -1 and the process dies of SIGFPE
    kills-running dies the same way when an input is -1; any other input is answered
    big-MIB       input [n, 4] -> output [n, 3], with so many MiB of weights
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS = 16
INT_MIN = -(2**31)


def _model(nodes: list[Any], weights: dict[str, Any], columns: int = 4, outputs: int = 3, name: str = "input") -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def linear(seed: int, name: str = "input", columns: int = 4, outputs: int = 3) -> Any:
    random = np.random.default_rng(seed)
    weights = {
        "w": random.normal(size=(columns, outputs)).astype(np.float32),
        "b": random.normal(size=outputs).astype(np.float32),
    }
    nodes = [helper.make_node("MatMul", [name, "w"], ["x"]), helper.make_node("Add", ["x", "b"], ["output"])]
    return _model(nodes, weights, columns, outputs, name)


def kills_loading() -> Any:
    weights = {"a": np.array([INT_MIN], np.int32), "m": np.array([-1], np.int32), "w": np.ones((4, 3), np.float32)}
    nodes = [
        helper.make_node("Mod", ["a", "m"], ["q"]),
        helper.make_node("Cast", ["q"], ["qf"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["input", "w"], ["x"]),
        helper.make_node("Add", ["x", "qf"], ["output"]),
    ]
    return _model(nodes, weights)


def kills_running() -> Any:
    weights = {"a": np.array([INT_MIN], np.int32), "w": np.ones((4, 3), np.float32)}
    nodes = [
        helper.make_node("Cast", ["input"], ["i"], to=TensorProto.INT32),
        helper.make_node("Mod", ["a", "i"], ["q"]),
        helper.make_node("Cast", ["q"], ["qf"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["qf", "w"], ["output"]),
    ]
    return _model(nodes, weights)


def big(mebibytes: int) -> Any:
    width = mebibytes * 2**20 // (4 * 4)
    weights = {"w": np.ones((4, width), np.float32), "v": np.ones((width, 3), np.float32) / width}
    nodes = [helper.make_node("MatMul", ["input", "w"], ["x"]), helper.make_node("MatMul", ["x", "v"], ["output"])]
    return _model(nodes, weights)


def build(kind: str) -> tuple[Any, str, int]:
    """The model, its input's name and columns."""
    if kind.startswith("linear-"):
        return linear(int(kind.removeprefix("linear-"))), "input", 4
    if kind.startswith("big-"):
        return big(int(kind.removeprefix("big-"))), "input", 4
    if kind == "other":
        return linear(9, "features", 5, 2), "features", 5
    return {"kills-loading": kills_loading, "kills-running": kills_running}[kind](), "input", 4


def rows(columns: int) -> Any:
    # 3.0 and more: no input that a killer dies of by itself.
    return np.random.default_rng(0).uniform(3.0, 9.0, size=(ROWS, columns)).astype(np.float32)


def answers(model: Any, name: str, inputs: Any) -> list[list[float]]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path)
        result: list[list[float]] = session.run(["output"], {name: inputs})[0].tolist()
        return result


def register(client: Any, registered: str, kinds: list[str]) -> dict[str, Any]:
    import mlflow

    out = {}
    for kind in kinds:
        model, name, columns = build(kind)
        inputs = rows(columns)
        expected = [] if kind == "kills-loading" else answers(model, name, inputs)
        shape = (-1, 2 if kind == "other" else 3)
        signature = mlflow.models.ModelSignature(
            inputs=mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype(np.float32), (-1, columns), name)]),
            outputs=mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype(np.float32), shape, "output")]),
        )
        # MLflow itself runs an example, and would die of it.
        example = None if kind == "kills-loading" else {name: inputs[:2]}
        with mlflow.start_run():
            logged = mlflow.onnx.log_model(
                model, name="model", signature=signature, input_example=example,
                registered_model_name=registered, pip_requirements=["onnxruntime"],
            )  # fmt: skip
        version = str(logged.registered_model_version)
        location = client.get_model_version_download_uri(registered, version)
        out[version] = {"kind": kind, "uri": location, "inputs": inputs.tolist(), "outputs": expected}
    client.set_registered_model_tag(registered, "fairlead.serve", "true")
    return out


def main() -> None:
    import mlflow

    mlflow.set_tracking_uri(sys.argv[1])
    client = mlflow.MlflowClient(sys.argv[1])
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what mlflow prints is no answer
    for line in sys.stdin:
        registered, *kinds = line.split()
        answer.write(json.dumps(register(client, registered, kinds)) + "\n")
        answer.flush()


if __name__ == "__main__":
    main()
