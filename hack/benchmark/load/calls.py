"""What a generator sends: a model's requests as the bytes of one wire.

Three wires of the Open Inference Protocol: JSON with flat data, Triton's binary tensor extension in both directions,
and gRPC with raw contents.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np

from benchmark.subject import Array, Endpoint, Model, Wire
from fairlead_server.protocols.v2_messages import SERVICE, message

METHOD = f"{SERVICE}/ModelInfer"
TIMEOUT_S = 10.0
_HEADER_LENGTH = "Inference-Header-Content-Length"
_DATATYPES = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "object": "BYTES",
}
_REQUEST = message("ModelInferRequest")


class Body(NamedTuple):
    data: bytes
    headers: Mapping[str, str]


class Call(NamedTuple):
    """Requests to one model of one server. `address` is HOST:PORT, `path` the URL's path, or gRPC's method; `bodies`
    are sent in turn. Over gRPC every call has the deadline `timeout_s`; over HTTP the generator gives up after it."""

    wire: Wire
    address: str
    path: str
    bodies: tuple[Body, ...]
    timeout_s: float = TIMEOUT_S


def call_of(
    wire: Wire,
    endpoint: Endpoint,
    model: Model,
    *,
    requests: Sequence[Mapping[str, Array]] = (),
    parameters: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Call:
    """`requests` are sent in turn, the model's own where there are none; `parameters` (`timeout` in microseconds,
    `priority`) go into each."""
    inputs = list(requests) or [model.inputs]
    if wire == "grpc":
        bodies = [_message(model.name, tensors, parameters or {}) for tensors in inputs]
        return Call(wire, endpoint.grpc, METHOD, tuple(bodies), timeout_s)
    encode = _json if wire == "json" else _binary
    path = f"/v2/models/{quote(model.name, safe='')}/infer"
    return Call(wire, endpoint.http, path, tuple(encode(tensors, parameters or {}) for tensors in inputs), timeout_s)


def datatype(array: Array) -> str:
    """The protocol's name: text is BYTES."""
    return _DATATYPES[array.dtype.name if array.dtype.kind != "U" else "object"]


def _json(tensors: Mapping[str, Array], parameters: Mapping[str, Any]) -> Body:
    inputs = [_head(name, array) | {"data": array.reshape(-1).tolist()} for name, array in tensors.items()]
    document: dict[str, Any] = {"inputs": inputs}
    if parameters:
        document["parameters"] = dict(parameters)
    return Body(msgspec.json.encode(document), {"Content-Type": "application/json"})


def _binary(tensors: Mapping[str, Array], parameters: Mapping[str, Any]) -> Body:
    raw = [_raw(array) for array in tensors.values()]
    inputs = [
        _head(name, array) | {"parameters": {"binary_data_size": len(data)}}
        for (name, array), data in zip(tensors.items(), raw, strict=True)
    ]
    head = msgspec.json.encode({"parameters": {**parameters, "binary_data_output": True}, "inputs": inputs})
    headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
    return Body(head + b"".join(raw), headers)


def _message(model: str, tensors: Mapping[str, Array], parameters: Mapping[str, Any]) -> Body:
    request = _REQUEST(model_name=model)
    for name, value in parameters.items():
        request.parameters[name].int64_param = value
    for name, array in tensors.items():
        request.inputs.add(name=name, datatype=datatype(array), shape=array.shape)
        request.raw_input_contents.append(_raw(array))
    return Body(request.SerializeToString(), {})


def _head(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "datatype": datatype(array), "shape": list(array.shape)}


def _raw(array: Array) -> bytes:
    if datatype(array) != "BYTES":
        return np.ascontiguousarray(array).tobytes()
    texts = [str(text).encode() for text in array.reshape(-1).tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
