"""Which file of a verified directory is the ONNX model.

MLmodel with an onnx flavor -> flavors.onnx.data (a file, or a folder with one)
MLmodel without             -> refused, with the line that logs the model as ONNX
model.onnx, or a single *.onnx in the folder -> that
"""

from __future__ import annotations

from pathlib import Path

from fairlead_server.runtimes import LoadFailure
from fairlead_server.runtimes.mlmodel import MLmodel
from fairlead_server.runtimes.refusals import not_onnx


def model_file(directory: Path, mlmodel: MLmodel | None) -> Path:
    """The model's path; external data is found beside it. LoadFailure (final) where there is none, or no single one."""
    if directory.is_file():
        return directory
    if mlmodel is None:
        return _only(directory)
    if not mlmodel.data:
        raise LoadFailure(not_onnx(mlmodel.flavors))
    path = (directory / mlmodel.data).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise LoadFailure(f"MLmodel names a model file outside its folder ('{mlmodel.data}'); log the model again")
    if path.is_dir():
        return _only(path)
    if not path.is_file():
        raise LoadFailure(f"the file '{mlmodel.data}' that MLmodel names is missing; register the version again")
    return path


def _only(directory: Path) -> Path:
    path = directory / "model.onnx"
    if path.is_file():
        return path
    found = sorted(directory.glob("*.onnx"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found[:5])
        raise LoadFailure(f"the folder holds several ONNX files ({names}); name the one to serve model.onnx")
    raise LoadFailure("the folder holds neither MLmodel nor an ONNX file; log the model with mlflow.onnx.log_model")
