"""What the peers' servers have in common: an ONNX Runtime session, opened the same way for all of them.

These files run in the peers' own environments, by their own Python: they import nothing of the benchmark.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

MAX_BATCH_SIZE = 64  # as many rows as Fairlead takes by default
KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(string)": object}
DATATYPES = {np.float32: "FP32", np.int64: "INT64", object: "BYTES"}


class Spec(NamedTuple):
    """One input or output. `shape` is what follows the rows: -1 is free."""

    name: str
    dtype: Any
    shape: tuple[int, ...]


class OnnxModel:
    """Intra-op threads spin for 20 us only: the cores are shared, as Fairlead has it."""

    def __init__(self, name: str, path: str, threads: int) -> None:
        self.name = name
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [_spec(one) for one in self._session.get_inputs()]
        self.outputs = [_spec(one) for one in self._session.get_outputs()]
        self._names = [one.name for one in self.outputs]

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        """The outputs in the file's order. Text may come as bytes or str."""
        return self._session.run(self._names, {name: as_text(value) for name, value in inputs.items()})


def as_text(value: Any) -> Any:
    """ONNX Runtime takes str alone; what is no text stays as it is."""
    if value.dtype.kind not in "OS":
        return value
    words = [word.decode() if isinstance(word, bytes) else word for word in value.ravel().tolist()]
    return np.array(words, dtype=object).reshape(value.shape)


def as_bytes(value: Any) -> Any:
    """Text as UTF-8, for servers that know BYTES alone."""
    if value.dtype.kind != "O":
        return value
    return np.array([word.encode() for word in value.ravel().tolist()], dtype=object).reshape(value.shape)


def arguments() -> argparse.ArgumentParser:
    """--http_port N --grpc_port N --threads N --serve NAME=FILE ..., the ports as KServe's SDK reads them, too."""
    parser = argparse.ArgumentParser()
    for flag in ("--http_port", "--grpc_port", "--threads"):
        parser.add_argument(flag, type=int, required=True)
    parser.add_argument("--serve", action="append", required=True, metavar="NAME=FILE")
    return parser


def opened(found: argparse.Namespace) -> list[OnnxModel]:
    pairs = [pair.split("=", 1) for pair in found.serve]
    return [OnnxModel(name, path, found.threads) for name, path in pairs]


def _spec(found: Any) -> Spec:
    sizes = tuple(size if isinstance(size, int) else -1 for size in found.shape[1:])
    return Spec(found.name, KINDS[found.type], sizes)
