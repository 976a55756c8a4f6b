"""One question, and whether the answer is the model's: who answers wrongly is not measured."""

from __future__ import annotations

import http.client
import struct
from collections.abc import Mapping
from typing import Any

import grpc
import msgspec
import numpy as np

from benchmark.load.calls import Call, call_of
from benchmark.subject import Array, Endpoint, Model, Wire
from fairlead_server.protocols.v2_messages import message

_RESPONSE = message("ModelInferResponse")
_HEADER_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {"FP32": "f4", "FP64": "f8", "INT64": "i8", "INT32": "i4", "BOOL": "?"}
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4  # batches and thread counts change a float's last bits
_ASK_S = 60.0


class WrongAnswer(Exception):
    """What was answered is not what ONNX Runtime answers; the text says where."""


def check(endpoint: Endpoint, model: Model, wire: Wire) -> None:
    """Ask once. Raises WrongAnswer, also where nothing is answered."""
    call = call_of(wire, endpoint, model, timeout_s=_ASK_S)
    try:
        found = _ask_grpc(call) if wire == "grpc" else _ask_http(call)
        fault = difference(model.outputs, found)
    except (OSError, http.client.HTTPException, grpc.RpcError, ValueError, KeyError, TypeError) as error:
        fault = " ".join(str(error).split())[:300] or type(error).__name__
    if fault:
        raise WrongAnswer(f"{model.name} over {wire}: {fault}")


def difference(expected: Mapping[str, Array], found: Mapping[str, Array]) -> str:
    """What is wrong with the answer, "" where nothing is."""
    for name, wanted in expected.items():
        if name not in found:
            return f"no output {name}, but {', '.join(found) or 'none'}"
        given = found[name]
        if given.shape == (*wanted.shape, 1):  # some servers know no output of rows alone
            given = given[..., 0]
        if given.shape != wanted.shape:
            return f"{name} has the shape {given.shape}, not {wanted.shape}"
        numbers = wanted.dtype.kind in "fiub"
        same = np.allclose(given, wanted, _RELATIVE, _ABSOLUTE) if numbers else np.array_equal(given, wanted)
        if not same:
            return f"{name} is {given.reshape(-1)[:4].tolist()}..., not {wanted.reshape(-1)[:4].tolist()}..."
    return ""


def _ask_http(call: Call) -> dict[str, Array]:
    (body, *_) = call.bodies
    connection = http.client.HTTPConnection(call.address, timeout=call.timeout_s)
    try:
        connection.request("POST", call.path, body.data, dict(body.headers))
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"HTTP {answer.status}: {data[:200].decode(errors='replace')}")
    length = int(answer.headers.get(_HEADER_LENGTH, len(data)))
    return _from_json(msgspec.json.decode(data[:length]), data[length:])


def _from_json(document: Any, raw: bytes) -> dict[str, Array]:
    """The binary extension's tensors lie behind the JSON, in its order."""
    tensors, at = {}, 0
    for output in document["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")  # KServe says null
        if size is None:
            flat = np.array(_flat(output["data"]), dtype=_DTYPES.get(output["datatype"], "O"))
        else:
            flat = _from_raw(output["datatype"], raw[at : at + size])
            at += size
        tensors[output["name"]] = flat.reshape(output["shape"])
    return tensors


def _ask_grpc(call: Call) -> dict[str, Array]:
    (body, *_) = call.bodies
    with grpc.insecure_channel(call.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        infer = channel.unary_unary(f"/{call.path}", response_deserializer=_RESPONSE.FromString)
        answer = infer(body.data, timeout=call.timeout_s, wait_for_ready=True)
    tensors = {}
    for at, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            flat = _from_raw(output.datatype, answer.raw_output_contents[at])
        else:
            flat = _from_contents(output)
        tensors[output.name] = flat.reshape(list(output.shape))
    return tensors


def _from_contents(output: Any) -> Array:
    """The one field of the typed contents that is filled."""
    (values,) = [list(values) for _, values in output.contents.ListFields()]
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    return np.array(texts, dtype=_DTYPES.get(output.datatype, "O"))


def _from_raw(datatype: str, data: bytes) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=_DTYPES[datatype])
    texts, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return np.array(texts, dtype=object)


def _flat(data: Any) -> list[Any]:
    return [leaf for item in data for leaf in (_flat(item) if isinstance(item, list) else [item])]
