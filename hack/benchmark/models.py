"""The benchmark's models, written by script from seeded weights: nothing is downloaded, and all machines have the same.

Each comes with one request and ONNX Runtime's own answer to it, which every subject's answers are checked against.
Numbers in requests are multiples of 1/16: the same bits in float32 and in JSON, whoever writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmark.graph import FLOAT, Graph, tensor
from benchmark.networks import IMAGE, VOCABULARY, write_bert, write_resnet18
from benchmark.subject import Array, Model

MLP_WIDTH, MLP_LAYERS, MLP_CLASSES = 512, 3, 10
SEQUENCE = 64
Inputs = Mapping[str, Array]


def build(names: Iterable[str], folder: Path) -> dict[str, Model]:
    """Writes folder/NAME/model.onnx for each. Raises KeyError for a name that is none of NAMES."""
    return {name: _build(name, folder / name) for name in names}


def run(path: Path, inputs: Inputs) -> dict[str, Array]:
    """ONNX Runtime's own answer, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def sentence(length: int, *, seed: int = 0, rows: int = 1) -> dict[str, Array]:
    """BERT's inputs for `rows` sentences of `length` tokens, all of them real."""
    ids = np.random.default_rng(seed).integers(1, VOCABULARY, (rows, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _build(name: str, folder: Path) -> Model:
    write, request = _MAKERS[name]
    path = folder / "model.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    write(path)
    inputs = request()
    return Model(name, folder, inputs, run(path, inputs))


def _write_tiny(path: Path) -> None:
    """y[batch,3] = x[batch,4] by one matrix, and a bias."""
    g = Graph(seed=4)
    g.dense("x", 4, 3, "y")
    g.save(path, [tensor("x", FLOAT, ("batch", 4))], [tensor("y", FLOAT, ("batch", 3))])


def _write_mlp(path: Path) -> None:
    """y[batch,10] from x[batch,512] through three layers of 512 with ReLU: 0.8 million weights."""
    g = Graph(seed=512)
    x = "x"
    for _ in range(MLP_LAYERS):
        x = g.add("Relu", [g.dense(x, MLP_WIDTH, MLP_WIDTH)])
    g.dense(x, MLP_WIDTH, MLP_CLASSES, "y")
    sides = [tensor("x", FLOAT, ("batch", MLP_WIDTH)), tensor("y", FLOAT, ("batch", MLP_CLASSES))]
    g.save(path, sides[:1], sides[1:])


def _write_pipeline(path: Path) -> None:
    """label[batch] (text) and probabilities[batch,2] from two columns of text and two of numbers, each [batch,1]."""
    import skl2onnx  # slow to import, and few runs want it
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    kinds = {"country": StringTensorType, "plan": StringTensorType, "age": FloatTensorType, "spent": FloatTensorType}
    fitted = _fit()
    onx = skl2onnx.to_onnx(
        fitted,
        initial_types=[(name, kind([None, 1])) for name, kind in kinds.items()],
        options={id(fitted): {"zipmap": False}},  # most servers know no maps
        target_opset=17,
    )
    _name_rows(onx)
    path.write_bytes(onx.SerializeToString(deterministic=True))


def _fit() -> Any:
    """A pipeline as a data scientist writes it: text columns one-hot, numbers scaled, a logistic regression."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random, rows = np.random.default_rng(7), 400
    table = pd.DataFrame({
        "country": random.choice(["de", "fr", "jp", "us"], rows),
        "plan": random.choice(["basic", "gold"], rows),
        "age": random.integers(18, 90, rows).astype(np.float32),
        "spent": random.exponential(100.0, rows).astype(np.float32),
    })  # fmt: skip
    leaves = (table["plan"] == "basic") & (table["spent"] + random.normal(0, 30, rows) < 90)
    columns = ColumnTransformer([
        ("text", OneHotEncoder(handle_unknown="ignore"), ["country", "plan"]),
        ("numbers", StandardScaler(), ["age", "spent"]),
    ])  # fmt: skip
    return make_pipeline(columns, LogisticRegression()).fit(table, np.where(leaves, "leaves", "stays"))


def _name_rows(onx: Any) -> None:
    """skl2onnx leaves the rows' dimension without a name; a name says that all inputs and outputs share it."""
    for value in (*onx.graph.input, *onx.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _grid(*shape: int, seed: int = 1) -> Array:
    return (np.random.default_rng(seed).integers(-32, 33, shape) / 16).astype(np.float32)


def _customer() -> dict[str, Array]:
    text = {name: np.array([[value]], dtype=object) for name, value in (("country", "de"), ("plan", "gold"))}
    return {**text, "age": np.array([[41.0]], np.float32), "spent": np.array([[120.5]], np.float32)}


_MAKERS: dict[str, tuple[Callable[[Path], None], Callable[[], dict[str, Array]]]] = {
    "tiny": (_write_tiny, lambda: {"x": _grid(1, 4)}),
    "mlp": (_write_mlp, lambda: {"x": _grid(1, MLP_WIDTH)}),
    "resnet18": (write_resnet18, lambda: {"image": _grid(1, 3, IMAGE, IMAGE)}),
    "bert": (write_bert, lambda: sentence(SEQUENCE)),
    "pipeline": (_write_pipeline, _customer),
}
NAMES = tuple(_MAKERS)
