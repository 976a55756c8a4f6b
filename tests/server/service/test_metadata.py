"""The protocol's metadata documents."""

from __future__ import annotations

from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.service.metadata import configuration_of, of_model, of_server


def test_labels_and_optional_inputs_stand_in_the_parameters() -> None:
    """What the protocol has no field for is an addition that clients may ignore; versions stand in number order."""
    signature = Signature(
        (TensorSpec("x", "FP32", (-1, 4)), TensorSpec("mask", "BOOL", (), optional=True)),
        (TensorSpec("probabilities", "FP32", (-1, 2), labels=("cat", "dog")),),
    )
    assert of_model("pets", ["10", "beta", "2"], signature) == {
        "name": "pets",
        "versions": ["2", "10", "beta"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "mask", "datatype": "BOOL", "shape": [], "parameters": {"optional": True}},
        ],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "parameters": {"labels": ["cat", "dog"]}}
        ],
    }


def test_the_configuration_has_whole_shapes_and_tritons_names_for_datatypes() -> None:
    """With max_batch_size 0 Triton's tools add no rows of their own to `dims`."""
    signature = Signature(
        (TensorSpec("name", "BYTES", (-1, 1)), TensorSpec("mask", "BOOL", (), optional=True)),
        (TensorSpec("y", "FP32", (-1, 2)),),
    )
    assert configuration_of("pets", signature) == {
        "name": "pets",
        "platform": "onnxruntime_onnx",
        "max_batch_size": 0,
        "input": [
            {"name": "name", "data_type": "TYPE_STRING", "dims": [-1, 1]},
            {"name": "mask", "data_type": "TYPE_BOOL", "dims": [], "optional": True},
        ],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 2]}],
    }


def test_the_server_names_itself_and_its_extensions() -> None:
    """The names are Triton's where they mean the same."""
    extensions = ["binary_tensor_data", "model_configuration"]
    assert of_server("1.2") == {"name": "fairlead", "version": "1.2", "extensions": extensions}
