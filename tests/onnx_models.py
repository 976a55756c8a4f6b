"""Tiny ONNX files for everybody's tests, made with the `onnx` package: `build_X(path)` writes one and returns its path.

Where a model has rows, its inputs are called x and its outputs y, unless its docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
LINEAR_WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def tensor(name: str, kind: int = FLOAT, shape: Sequence[Any] | None = ("N", 4)) -> Any:
    """An input's or output's description; names and None in `shape` are free sizes."""
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any] | None = None,
    *, opset: int = 17, ir: int = 8, domains: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Write a model. `weights` are its initializers."""
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 3) for domain in domains)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir), str(path))
    return path


def build_linear(path: Path, *, bias: float = 0.0) -> Path:
    """y[N,3] = x[N,4] @ LINEAR_WEIGHTS + bias."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])]
    weights = {"w": LINEAR_WEIGHTS, "b": np.full(3, bias, np.float32)}
    return save(path, nodes, [tensor("x")], [tensor("y", shape=("N", 3))], weights)


def build_two_inputs(path: Path) -> Path:
    """total[N,3] = a[N,3] + b[N,3]."""
    nodes = [helper.make_node("Add", ["a", "b"], ["total"])]
    inputs = [tensor("a", shape=("N", 3)), tensor("b", shape=("N", 3))]
    return save(path, nodes, inputs, [tensor("total", shape=("N", 3))])


def build_columns(path: Path) -> Path:
    """age[N,1] (numbers) and name[N,1] (text) come back as age_out and name_out, as skl2onnx takes a table."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in ("age", "name")]
    sides = [[tensor(f"age{end}", shape=("N", 1)), tensor(f"name{end}", STRING, ("N", 1))] for end in ("", "_out")]
    return save(path, nodes, *sides)


def build_strings(path: Path) -> Path:
    """y[N,2] = x[N,2], text."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [tensor("x", STRING, ("N", 2))], [tensor("y", STRING, ("N", 2))])


def build_fixed(path: Path, *, rows: int = 2) -> Path:
    """Takes `rows` rows and no other number."""
    shape = (rows, 4)
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], [tensor("x", shape=shape)], [tensor("y", shape=shape)])


def build_mixing(path: Path) -> Path:
    """y = x minus its mean over the rows: a row's answer depends on the rows beside it."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return save(path, nodes, [tensor("x")], [tensor("y")])


def build_unnamed(path: Path, *, names: tuple[str | None, str | None] = (None, None)) -> Path:
    """y = relu(x) whose leading dimensions have no names, or the two given."""
    inputs, outputs = [tensor("x", shape=(names[0], 4))], [tensor("y", shape=(names[1], 4))]
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], inputs, outputs)


def build_total(path: Path) -> Path:
    """y[1,4] is the sum of all rows, while the file says [N,4]: an output with a wrong leading dimension."""
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
    return save(path, [node], [tensor("x")], [tensor("y", shape=("M", 4))], {"axes": np.array([0])})


def build_kind(path: Path, kind: int) -> Path:
    """y[N,2] = x[N,2] of any ONNX type; integers stay exact."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [tensor("x", kind, ("N", 2))], [tensor("y", kind, ("N", 2))])


def build_gather(path: Path, *, size: int = 4) -> Path:
    """y[N,2] = row x[N] of a table of `size` rows; any other index fails the run."""
    table = np.arange(size * 2, dtype=np.float32).reshape(size, 2)
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return save(path, [node], [tensor("x", INT64, ("N",))], [tensor("y", shape=("N", 2))], {"table": table})


def build_allocating(path: Path) -> Path:
    """y has the shape that x[rank] holds: a client can ask for any amount of memory."""
    node = helper.make_node("ConstantOfShape", ["x"], ["y"])
    return save(path, [node], [tensor("x", INT64, ("rank",))], [tensor("y", shape=("a", "b"))])


def build_sequence_length(path: Path) -> Path:
    """y[N,T] = relu(x[N,T]): a second free dimension."""
    sides = [[tensor(name, shape=("N", "T"))] for name in ("x", "y")]
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], *sides)


def build_attention(path: Path, *, width: int = 8, symbol: str | None = "T", most: int = 64) -> Path:
    """A layer of self-attention over ids[N,T] with mask[N,T]: states[N,T,width], pooled[N,width] (of the first place),
    for texts of `most` places. What the mask hides has no part in any place that it does not hide."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("Shape", ["ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "1"], ["length"]),
        helper.make_node("Range", ["0", "length", "1"], ["at"]),
        helper.make_node("Gather", ["places", "at"], ["place"]),
        helper.make_node("Add", ["words", "place"], ["x"]),
        helper.make_node("Transpose", ["x"], ["keys"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "keys"], ["scores"]),
        helper.make_node("Cast", ["mask"], ["real"], to=FLOAT),
        helper.make_node("Sub", ["real", "one"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "far"], ["shift"]),
        helper.make_node("Unsqueeze", ["shift", "1s"], ["bias"]),
        helper.make_node("Add", ["scores", "bias"], ["biased"]),
        helper.make_node("Softmax", ["biased"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "x"], ["states"]),
        helper.make_node("Gather", ["states", "0"], ["pooled"], axis=1),
    ]
    random = np.random.default_rng(3)
    weights = {
        "table": random.standard_normal((32, width), dtype=np.float32),
        "places": random.standard_normal((most, width), dtype=np.float32),
        "one": np.float32(1), "far": np.float32(1e9), "0": np.int64(0), "1": np.int64(1), "1s": np.array([1]),
    }  # fmt: skip
    inputs = [tensor(name, INT64, ("N", symbol)) for name in ("ids", "mask")]
    return save(
        path,
        nodes,
        inputs,
        [tensor("states", shape=("N", symbol, width)), tensor("pooled", shape=("N", width))],
        weights,
    )


def build_mean(path: Path) -> Path:
    """y[N,4] is the mean of rows ids[N,T] of a table: with no mask, whatever fills a text up counts too."""
    table = np.random.default_rng(4).standard_normal((32, 4), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("ReduceMean", ["words"], ["y"], axes=[1], keepdims=0),
    ]
    return save(path, nodes, [tensor("ids", INT64, ("N", "T"))], [tensor("y", shape=("N", 4))], {"table": table})


def build_unknown_rank(path: Path) -> Path:
    """y = relu(x), of shapes that the file does not tell."""
    sides = [[tensor(name, shape=None)] for name in ("x", "y")]
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], *sides)


def build_large(path: Path, *, megabytes: int = 64) -> Path:
    """y[N,4] = x[N,4] plus the row of a table of so many megabytes that x's largest place names."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "place"], ["row"]),
        helper.make_node("Add", ["x", "row"], ["y"]),
    ]
    weights = {"table": np.random.default_rng(1).random((megabytes * 2**16, 4), dtype=np.float32)}
    return save(path, nodes, [tensor("x")], [tensor("y")], weights)


def build_slow(path: Path, *, layers: int = 40, width: int = 512) -> Path:
    """y[N,4]: a row goes through `layers` products with one [width, width] matrix. About 5 ms with the defaults."""
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h0"])]
    for at in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{at}", "w"], [f"p{at}"]))
        nodes.append(helper.make_node("Tanh", [f"p{at}"], [f"h{at + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"h{layers}", "last"], ["y"]))
    random = np.random.default_rng(2)
    shapes = {"first": (4, width), "w": (width, width), "last": (width, 4)}
    weights = {name: (random.standard_normal(s) / 30).astype(np.float32) for name, s in shapes.items()}
    return save(path, nodes, [tensor("x")], [tensor("y")], weights)


def build_external(path: Path, *, data: str = "weights.bin") -> Path:
    """build_linear with its weights in a file of their own beside it."""
    model = onnx.load(str(build_linear(path)))
    onnx.save(model, str(path), save_as_external_data=True, location=data, size_threshold=0)
    return path


def build_corrupt(path: Path) -> Path:
    """build_linear, cut short as an interrupted copy leaves it."""
    build_linear(path)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def build_new_opset(path: Path, *, opset: int = 99) -> Path:
    """Stamped with an opset that nobody knows yet."""
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], [tensor("x")], [tensor("y")], opset=opset)


def build_new_ir(path: Path) -> Path:
    """Stamped with an IR version that nobody knows yet."""
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], [tensor("x")], [tensor("y")], ir=99)


def build_custom_operator(path: Path) -> Path:
    """Uses an operator of a domain that no runtime has."""
    node = helper.make_node("Wavelet", ["x"], ["y"], domain="ours.example")
    return save(path, [node], [tensor("x")], [tensor("y")], domains=["ours.example"])


def build_unknown_operator(path: Path) -> Path:
    """Uses an operator that the standard domain does not have."""
    return save(path, [helper.make_node("Wavelet", ["x"], ["y"])], [tensor("x")], [tensor("y")])


def build_sequence(path: Path) -> Path:
    """Gives a sequence of tensors, which no protocol can carry."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ["N", 4]))
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    return save(path, [node], [tensor("x")], [helper.make_value_info("y", kind)])


def build_optional(path: Path) -> Path:
    """Gives an optional tensor."""
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["N", 4]))
    node = helper.make_node("Optional", ["x"], ["y"])
    return save(path, [node], [tensor("x")], [helper.make_value_info("y", kind)])


def build_zipmap(path: Path, *, labels: Sequence[str] | Sequence[int] = ("no", "yes")) -> Path:
    """y is what a ZipMap makes of x[N,len(labels)]: a list of dicts."""
    text = isinstance(labels[0], str)
    attribute = {"classlabels_strings" if text else "classlabels_int64s": list(labels)}
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **attribute)
    scalar = helper.make_tensor_type_proto(FLOAT, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(STRING if text else INT64, scalar))
    inputs = [tensor("x", shape=(None, len(labels)))]
    return save(path, [node], inputs, [helper.make_value_info("y", kind)], domains=["ai.onnx.ml"])


def build_pipeline(path: Path) -> tuple[Path, Any]:
    """A scikit-learn pipeline (scaler, logistic regression) on the iris data by skl2onnx, with its ZipMap.
    Input X[N,4]; outputs output_label and output_probability. Returns the fitted pipeline too."""
    import skl2onnx  # slow to import, and few tests need it
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, labels = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data, labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(skl2onnx.to_onnx(pipeline, data[:1].astype(np.float32)).SerializeToString())
    return path, pipeline


def build_classifier(path: Path, classifier: Any, labels: Sequence[str] | Sequence[int]) -> Path:
    """A scikit-learn classifier fitted to rows X[N,4] of these labels, by skl2onnx as it comes, with its ZipMap."""
    import skl2onnx

    random = np.random.default_rng(5)
    x = random.standard_normal((90, 4)).astype(np.float32)
    classifier.fit(x, np.asarray(labels)[(x[:, 0] * 7).astype(int) % len(labels)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(skl2onnx.to_onnx(classifier, x[:1]).SerializeToString())
    return path
