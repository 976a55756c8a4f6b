"""What a data scientist is told whose model was not logged as ONNX: the exact line that logs it so."""

from __future__ import annotations

from collections.abc import Sequence

_SKL2ONNX = 'mlflow.onnx.log_model(skl2onnx.to_onnx(model, X[:1]), name="model", input_example=X[:1])'
_BOOSTED = (
    "mlflow.onnx.log_model(onnxmltools.convert_{flavor}(model, initial_types=[('X', "
    'onnxmltools.convert.common.data_types.FloatTensorType([None, X.shape[1]]))]), name="model", input_example=X[:1])'
)
_TORCH = (
    "mlflow.onnx.log_model(torch.onnx.export(model, (x[:2],), dynamo=True, dynamic_shapes=({0: "
    'torch.export.Dim("batch")},)).model_proto, name="model", input_example=x[:2].numpy())'
)
_KERAS = (
    'model.export("model.onnx", format="onnx"); '
    'mlflow.onnx.log_model(onnx.load("model.onnx"), name="model", input_example=X[:1])'
)
_GENERIC = 'mlflow.onnx.log_model(onnx.load("model.onnx"), name="model", input_example=X[:1])'

# In the order of preference: a pipeline that wraps another library's model is logged as the outer one.
LINES: dict[str, str] = {
    "sklearn": _SKL2ONNX,
    "xgboost": _BOOSTED.format(flavor="xgboost"),
    "lightgbm": _BOOSTED.format(flavor="lightgbm"),
    "pytorch": _TORCH,
    "keras": _KERAS,
    "tensorflow": _KERAS,
}


def not_onnx(flavors: Sequence[str]) -> str:
    """One sentence that names what was found, and the line to use instead."""
    found = ", ".join(name for name in flavors if name != "python_function") or "python_function"
    line = next((line for flavor, line in LINES.items() if flavor in flavors), _GENERIC)
    return f"the version was not logged as ONNX (flavors found: {found}); log it with: {line}"
