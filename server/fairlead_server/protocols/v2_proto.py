"""The gRPC form of the Open Inference Protocol: message bytes <-> requests and responses.

A request holds all its tensors raw (`raw_input_contents`, one for each input, in order) or all of
them typed (`contents`), never both. Answers are always raw, as Triton's are.
Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
This module must not know gRPC: no status codes, no contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

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
from fairlead_server.protocols.v2_forms import Form, Forms, varint
from fairlead_server.protocols.v2_messages import message
from fairlead_server.tensors.array import NUMPY, Tensor

_InferRequest = message("ModelInferRequest")
_InferResponse = message("ModelInferResponse")

_LARGEST_ANSWER = 2**31 - 2**20  # protobuf's limit, less the rest of the message
_COPIED = 64 * 2**10  # bytes of a tensor

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


class _Described(NamedTuple):
    """What the form of a request says: all of it but the tensors' bytes and the id."""

    model: str
    version: str | None
    inputs: tuple[tuple[str, str, tuple[int, ...], int], ...]  # name, datatype, shape, number of elements
    outputs: list[RequestedOutput]
    parameters: Mapping[str, Any]


def decode_request(data: bytes) -> tuple[str, str | None, InferRequest]:
    """The model's name, the version (None when not given) and the request."""
    form = _FORMS.find(data)
    return _parse_request(data) if form is None else _fill(form, data)


def _parse_request(data: bytes) -> tuple[str, str | None, InferRequest]:
    wire = parse(_InferRequest, data)
    raw = list(wire.raw_input_contents)  # each look at one copies it
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
    model, version, request = (
        wire.model_name,
        wire.model_version or None,
        InferRequest(inputs, outputs, wire.id, parameters),
    )
    if raw and not any(tensor.datatype == "BYTES" for tensor in inputs):  # the lengths of strings never come again
        described = tuple((tensor.name, tensor.datatype, tensor.shape, tensor.array.size) for tensor in inputs)
        _FORMS.missed(data, wire.id, raw, _Described(model, version, described, outputs, parameters))
    return model, version, request


def _fill(form: Form[_Described], data: bytes) -> tuple[str, str | None, InferRequest]:
    model, version, described, outputs, parameters = form.meaning
    identity = ""
    if form.id is not None:
        try:
            identity = data[slice(*form.id)].decode()
        except UnicodeDecodeError:
            return _parse_request(data)  # which says so
    ration = Ration()
    inputs = [
        decode_raw(name, datatype, shape, size, _part(data, start, end), ration)
        for (name, datatype, shape, size), (start, end) in zip(described, form.raw, strict=True)
    ]
    return model, version, InferRequest(inputs, outputs, identity, parameters)


def _part(data: bytes, start: int, end: int) -> bytes | memoryview:
    """A copy of a small tensor is aligned, and cheaper than a view; a large one is looked at where it is."""
    return data[start:end] if end - start <= _COPIED else memoryview(data)[start:end]


def _reads(data: bytes) -> bool:
    try:
        wire = _InferRequest.FromString(data)
    except DecodeError:
        return False
    return not wire.id and not wire.raw_input_contents


_FORMS: Forms[_Described] = Forms(_reads)


def encode_response(response: InferResponse) -> bytes:
    """What protobuf itself would write: each message of a part alone is that part of the message."""
    check_answer(sum(t.array.size for t in response.outputs if t.datatype == "BYTES"), "send fewer rows")
    size = sum(tensor.array.nbytes for tensor in response.outputs)
    if size > _LARGEST_ANSWER:
        raise ServingError(
            Kind.TOO_LARGE, f"the answer has {size} bytes, and gRPC carries {_LARGEST_ANSWER}: send fewer rows"
        )
    parts: list[bytes | memoryview] = [_named(response.model, response.version)]
    if response.id or response.parameters:
        parts.append(_identified(response.id, response.parameters))
    parts += [_described(tensor.name, tensor.datatype, tensor.shape) for tensor in response.outputs]
    for tensor in response.outputs:
        data = encode_raw(tensor)
        parts += (_begun(len(data)), data)
    return b"".join(parts)


@lru_cache(1024)
def _named(model: str, version: str) -> bytes:
    return _InferResponse(model_name=model, model_version=version).SerializeToString()  # type: ignore[no-any-return]


def _identified(identity: str, parameters: Mapping[str, Any]) -> bytes:
    wire = _InferResponse(id=identity)
    _to_parameters(parameters, wire.parameters)
    return wire.SerializeToString()  # type: ignore[no-any-return]


@lru_cache(1024)
def _described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    wire = _InferResponse()
    wire.outputs.add(name=name, datatype=datatype, shape=shape)
    return wire.SerializeToString()  # type: ignore[no-any-return]


@lru_cache(1024)
def _begun(size: int) -> bytes:
    """The beginning of an entry of raw_output_contents, field 6, up to its bytes."""
    return b"\x32" + varint(size)


def _input(item: Any, raw: bytes | None, ration: Ration) -> Tensor:
    name, datatype = item.name, check_datatype(item.name, item.datatype)
    if item.parameters:
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
