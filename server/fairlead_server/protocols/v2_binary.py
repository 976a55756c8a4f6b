"""The HTTP body of an inference: JSON, with tensors in the JSON or as raw bytes after it.

    request:  JSON of Inference-Header-Content-Length bytes | data of input a | data of input c | ...
    response: the same, for each output that was asked for in binary

An input is binary when its parameters hold `binary_data_size`. Outputs are binary by their own
parameter `binary_data`, or else by the request's `binary_data_output`.
Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
This module must not know HTTP: a header's value arrives as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

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
)
from fairlead_server.protocols.raw import Buffer, decode_raw, encode_raw
from fairlead_server.protocols.v2_json import InputDocument, decode_input, encode_output, parse
from fairlead_server.tensors.array import Tensor

_ENCODER = msgspec.json.Encoder()


def decode_request(body: bytes, header_length: str | None = None) -> InferRequest:
    """`header_length` is the text of Inference-Header-Content-Length. Tensors may be views of `body`."""
    length = _header_length(header_length, len(body))
    ration = Ration()
    ration.take(body.count(b",", 0, length))
    document = parse(memoryview(body)[:length])
    check_tensors("inputs", len(document.inputs))
    check_tensors("outputs", len(document.outputs or ()))
    tail = _Tail(memoryview(body)[length:], ration)
    inputs = [_input(item, tail) for item in document.inputs]
    tail.finish()
    outputs = [RequestedOutput(item.name, item.parameters or {}) for item in document.outputs or ()]
    for output in outputs:
        check_features(f"output {quote(output.name)}", output.parameters)
    parameters = document.parameters or {}
    check_features("the request", parameters)
    return InferRequest(inputs, outputs, document.id or "", parameters)


def encode_response(response: InferResponse, request: InferRequest) -> tuple[list[Buffer], int | None]:
    """The parts of the body, and the length of the JSON when binary parts follow it."""
    wishes = {output.name: output.parameters for output in request.outputs}
    usual = request.parameters.get("binary_data_output") is True
    outputs: list[dict[str, Any]] = []
    parts: list[Buffer] = []
    raw = {tensor.name for tensor in response.outputs if wishes.get(tensor.name, {}).get("binary_data", usual) is True}
    slow = sum(tensor.array.size for tensor in response.outputs if tensor.name not in raw or tensor.datatype == "BYTES")
    check_answer(slow, "send fewer rows, or ask for numbers as binary data (binary_data_output)")
    for tensor in response.outputs:
        if tensor.name in raw:
            data = encode_raw(tensor)
            parts.append(data)
            outputs.append(_describe(tensor) | {"parameters": {"binary_data_size": len(data)}})
        else:
            outputs.append(_describe(tensor) | {"data": encode_output(tensor)})
    head = _ENCODER.encode(_head(response) | {"outputs": outputs})
    return [head, *parts], len(head) if raw else None


def _head(response: InferResponse) -> dict[str, Any]:
    head: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    return head


def _describe(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _header_length(text: str | None, total: int) -> int:
    if text is None:
        return total
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > total:
        invalid(
            f"Inference-Header-Content-Length is {quote(text)}: "
            f"it must be the length of the JSON, and the body has {total} bytes"
        )
    return int(text)


def _input(document: InputDocument, tail: _Tail) -> Tensor:
    parameters: Mapping[str, Any] = document.parameters or {}
    name = document.name
    check_features(f"input {quote(name)}", parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return decode_input(document)
    if type(size) is not int or size < 0:
        invalid(f"binary_data_size of input {quote(name)} must be a number of bytes")
    if document.has_data:
        invalid(f"input {quote(name)} has both data and binary_data_size: send one of them")
    datatype = check_datatype(name, document.datatype)
    shape, expected = check_shape(name, document.shape)
    return decode_raw(name, datatype, shape, expected, tail.take(name, size), tail.ration)


class _Tail:
    """The bytes after the JSON, handed out in the order of the inputs."""

    def __init__(self, data: memoryview, ration: Ration) -> None:
        self.ration = ration
        self._data = data
        self._at = 0

    def take(self, name: str, size: int) -> memoryview:
        left = len(self._data) - self._at
        if size > left:
            invalid(
                f"input {quote(name)} says {size} bytes of binary data; {left} are left after the JSON "
                "(Inference-Header-Content-Length tells where it ends)"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def finish(self) -> None:
        left = len(self._data) - self._at
        if left:
            invalid(f"{left} bytes follow the last binary input: binary_data_size of the inputs must cover them all")
