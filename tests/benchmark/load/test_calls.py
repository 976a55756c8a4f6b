"""The bytes that generators send are requests of the protocol: the server's own codecs read them back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from benchmark.load.calls import Call, call_of
from benchmark.subject import Array, Endpoint, Model, Wire
from fairlead_server.protocols.v2_messages import message

ENDPOINT = Endpoint("127.0.0.1:8000", "127.0.0.1:8001", ())
INPUTS: dict[str, Array] = {"x": np.array([[0.5, -1.0]], np.float32), "name": np.array([["Zoë"]], dtype=object)}
MODEL = Model("a model", Path(), INPUTS, {})
TEXT = b"\x04\x00\x00\x00Zo\xc3\xab"


def made(wire: Wire) -> Call:
    return call_of(wire, ENDPOINT, MODEL, parameters={"timeout": 50_000})


def test_json_has_flat_data() -> None:
    call = made("json")
    assert (call.address, call.path) == ("127.0.0.1:8000", "/v2/models/a%20model/infer")
    assert msgspec.json.decode(call.bodies[0].data) == {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -1.0]},
            {"name": "name", "datatype": "BYTES", "shape": [1, 1], "data": ["Zoë"]},
        ],
        "parameters": {"timeout": 50_000},
    }


def test_binary_asks_for_binary_and_puts_tensors_behind_the_json() -> None:
    (body,) = made("binary").bodies
    length = int(body.headers["Inference-Header-Content-Length"])
    document = msgspec.json.decode(body.data[:length])
    assert document["parameters"] == {"timeout": 50_000, "binary_data_output": True}
    assert [tensor["parameters"]["binary_data_size"] for tensor in document["inputs"]] == [8, 8]
    assert body.data[length:] == INPUTS["x"].tobytes() + TEXT


def test_grpc_has_raw_contents() -> None:
    call = made("grpc")
    request = message("ModelInferRequest").FromString(call.bodies[0].data)
    assert (call.address, call.path) == ("127.0.0.1:8001", "inference.GRPCInferenceService/ModelInfer")
    assert (request.model_name, request.parameters["timeout"].int64_param) == ("a model", 50_000)
    assert [(one.name, one.datatype, list(one.shape)) for one in request.inputs] == [
        ("x", "FP32", [1, 2]),
        ("name", "BYTES", [1, 1]),
    ]
    assert list(request.raw_input_contents) == [INPUTS["x"].tobytes(), TEXT]


def test_several_requests_are_a_body_each() -> None:
    requests = [{"x": np.zeros((rows, 2), np.float32)} for rows in (1, 2)]
    bodies = call_of("json", ENDPOINT, MODEL, requests=requests).bodies
    assert [msgspec.json.decode(body.data)["inputs"][0]["shape"] for body in bodies] == [[1, 2], [2, 2]]
