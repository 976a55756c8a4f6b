"""What the protocol's metadata documents say, as plain values.

Source: https://github.com/kserve/open-inference-protocol (server and model metadata). Class labels have no
place of their own there; they stand in an output's `parameters`, where MLServer has its additions too.
The configuration is Triton's, for its tools ask for it:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairlead_server.models.signature import Signature, TensorSpec

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data", "model_configuration")


def of_server(version: str) -> dict[str, Any]:
    return {"name": "fairlead", "version": version, "extensions": list(EXTENSIONS)}


def of_model(model: str, versions: Iterable[str], signature: Signature) -> dict[str, Any]:
    """`versions` are those that would answer; the tensors are of one of them. -1 stands for any size."""
    return {
        "name": model,
        "versions": sorted(versions, key=_by_number),
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }


def configuration_of(model: str, signature: Signature) -> dict[str, Any]:
    """What Triton's tools need to make requests up. `max_batch_size` 0 says that `dims` are whole shapes: here any
    number of rows may be sent, and whether they are run together is nothing that a client has to know."""
    return {
        "name": model,
        "platform": PLATFORM,
        "max_batch_size": 0,
        "input": [_configured(spec) | ({"optional": True} if spec.optional else {}) for spec in signature.inputs],
        "output": [_configured(spec) for spec in signature.outputs],
    }


def _configured(spec: TensorSpec) -> dict[str, Any]:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(spec.shape)}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    document: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
    parameters: dict[str, Any] = {}
    if spec.labels:
        parameters["labels"] = list(spec.labels)
    if spec.optional:
        parameters["optional"] = True
    return document | ({"parameters": parameters} if parameters else {})


def _by_number(version: str) -> tuple[int, str]:
    """3 before 10, and what is no number last."""
    number = version.isascii() and version.isdecimal()
    return (len(version.lstrip("0")) if number else 1 << 30, version)
