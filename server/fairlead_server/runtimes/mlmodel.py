"""What MLflow wrote beside a model: its flavors, its signature, its input example. Read without MLflow.

Format: https://mlflow.org/docs/latest/ml/model/ (MLmodel), as MLflow 3.17 writes it. What cannot be read here
is left out rather than refused: the model file itself is the truth.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead_server.runtimes import LoadFailure

_EXAMPLE_LIMIT = 64 * 2**20  # bytes of JSON read as an example


class LoggedTensor(msgspec.Struct, frozen=True):
    """One entry of a logged signature: a tensor (`shape` with -1 for free), or a column (`shape` None)."""

    name: str
    shape: tuple[int, ...] | None


class MLmodel(msgspec.Struct, frozen=True):
    """`data` is the ONNX flavor's model file or folder, "" without that flavor; `example` the example's file."""

    flavors: tuple[str, ...]
    data: str
    inputs: tuple[LoggedTensor, ...]
    outputs: tuple[LoggedTensor, ...]
    example: str


def read(directory: Path) -> MLmodel | None:
    """The folder's MLmodel, or None where there is none. A file that is not MLmodel's format is a LoadFailure."""
    path = directory / "MLmodel"
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        flavors = document["flavors"]
        onnx = flavors.get("onnx") or {}
        signature = document.get("signature") or {}
        example = document.get("saved_input_example_info") or {}
        return MLmodel(
            flavors=tuple(sorted(map(str, flavors))),
            data=str(onnx.get("data") or "model.onnx") if "onnx" in flavors else "",
            inputs=_tensors(signature.get("inputs")),
            outputs=_tensors(signature.get("outputs")),
            example=str(example.get("artifact_path") or ""),
        )
    except (UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as fault:
        raise LoadFailure(f"the file MLmodel cannot be read ({type(fault).__name__}); log the model again") from fault


def read_example(directory: Path, mlmodel: MLmodel) -> Any:
    """The logged example's JSON as it stands, or None: with none logged, or one that is no readable JSON file."""
    path = directory / mlmodel.example
    if not mlmodel.example or not path.is_file() or path.stat().st_size > _EXAMPLE_LIMIT:
        return None
    with contextlib.suppress(ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def _tensors(logged: Any) -> tuple[LoggedTensor, ...]:
    """A signature side: a JSON text of tensor-specs or columns. What is neither is left out."""
    if not isinstance(logged, str):
        return ()
    try:
        return tuple(_tensor(entry) for entry in json.loads(logged))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _tensor(entry: dict[str, Any]) -> LoggedTensor:
    spec = entry.get("tensor-spec")
    shape = tuple(int(size) for size in spec["shape"]) if spec else None
    return LoggedTensor(str(entry.get("name") or ""), shape)
