"""The gRPC form of the Open Inference Protocol: message bytes <-> requests and responses.

A request holds all its tensors raw (`raw_input_contents`, one for each input, in order) or all of
them typed (`contents`), never both. Answers are always raw, as Triton's are.
Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
This module must not know gRPC: no status codes, no contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse, RequestedOutput
from fairlead_server.protocols.faults import (
    Ration,
    check_answer,
    check_datatype,
    check_features,
    check_shape,
    check_tensors,
    invalid,
    quote,
    wrong_count,
)
from fairlead_server.protocols.raw import Array, decode_raw, encode_raw, fold, strings_array, utf8
from fairlead_server.protocols.v2_messages import message
from fairlead_server.tensors.array import NUMPY, Tensor

_InferRequest = message("ModelInferRequest")
_InferResponse = message("ModelInferResponse")

_LARGEST_ANSWER = 2**31 - 2**20  # protobuf's limit, less the rest of the message

# The field of InferTensorContents that holds each datatype; FP16 has none and is raw only.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def parse(kind: Any, data: bytes) -> Any:
    """A message of a class from `v2_messages`."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        return invalid(f"the message is not a {kind.DESCRIPTOR.name}: {error}")


def decode_request(data: bytes) -> tuple[str, str | None, InferRequest]:
    """The model's name, the version (None when not given) and the request."""
    wire = parse(_InferRequest, data)
    raw = wire.raw_input_contents
    if raw and len(raw) != len(wire.inputs):
        invalid(f"raw_input_contents has {len(raw)} entries for {len(wire.inputs)} inputs: it needs one for each")
    check_tensors("inputs", len(wire.inputs))
    check_tensors("outputs", len(wire.outputs))
    ration = Ration()
    inputs = [_input(item, raw[at] if raw else None, ration) for at, item in enumerate(wire.inputs)]
    outputs = [RequestedOutput(item.name, _from_parameters(item.parameters)) for item in wire.outputs]
    for output in outputs:
        check_features(f"output {quote(output.name)}", output.parameters)
    parameters = _from_parameters(wire.parameters)
    check_features("the request", parameters)
    return wire.model_name, wire.model_version or None, InferRequest(inputs, outputs, wire.id, parameters)


def encode_response(response: InferResponse) -> bytes:
    check_answer(sum(t.array.size for t in response.outputs if t.datatype == "BYTES"), "send fewer rows")
    size = sum(tensor.array.nbytes for tensor in response.outputs)
    if size > _LARGEST_ANSWER:
        raise ServingError(
            Kind.TOO_LARGE, f"the answer has {size} bytes, and gRPC carries {_LARGEST_ANSWER}: send fewer rows"
        )
    wire = _InferResponse(model_name=response.model, model_version=response.version, id=response.id)
    _to_parameters(response.parameters, wire.parameters)
    for tensor in response.outputs:
        wire.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        wire.raw_output_contents.append(bytes(encode_raw(tensor)))
    return wire.SerializeToString()  # type: ignore[no-any-return]


def _input(item: Any, raw: bytes | None, ration: Ration) -> Tensor:
    name, datatype = item.name, check_datatype(item.name, item.datatype)
    check_features(f"input {quote(name)}", _from_parameters(item.parameters))
    shape, expected = check_shape(name, item.shape)
    fields = [field.name for field, _ in item.contents.ListFields()]
    if raw is None:
        ration.take(sum(len(getattr(item.contents, field)) for field in fields))
        return Tensor(name, datatype, fold(name, shape, _typed(name, datatype, shape, expected, item.contents, fields)))
    if fields:
        invalid(f"input {quote(name)} has typed contents in a request with raw_input_contents: use one of the two")
    return decode_raw(name, datatype, shape, expected, raw, ration)


def _typed(name: str, datatype: str, shape: tuple[int, ...], expected: int, contents: Any, fields: list[str]) -> Array:
    if datatype not in CONTENTS:
        invalid(f"input {quote(name)} is {datatype}, which has no typed contents: send it in raw_input_contents")
    wanted = CONTENTS[datatype]
    if fields not in ([], [wanted]):
        invalid(f"input {quote(name)} is {datatype} and has {' and '.join(fields)}: use {wanted} alone")
    values = getattr(contents, wanted)
    if len(values) != expected:
        wrong_count(name, shape, expected, len(values))
    if datatype == "BYTES":
        return strings_array([utf8(name, value) for value in values])
    try:
        return np.array(list(values), dtype=NUMPY[datatype])
    except OverflowError:
        return invalid(f"the data of input {quote(name)} has a number beyond the range of {datatype}")


def _from_parameters(wire: Any) -> Mapping[str, Any]:
    if not wire:
        return {}
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in wire.items()}
    return {name: getattr(wire[name], choice) for name, choice in chosen.items() if choice}


def _to_parameters(parameters: Mapping[str, Any], wire: Any) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            wire[name].bool_param = value
        elif isinstance(value, int):
            setattr(wire[name], "int64_param" if value < 2**63 else "uint64_param", value)
        elif isinstance(value, float):
            wire[name].double_param = value
        else:
            wire[name].string_param = str(value)
