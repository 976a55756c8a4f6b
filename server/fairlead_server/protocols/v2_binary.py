"""The HTTP body of an inference: JSON, with tensors in the JSON or as raw bytes after it.

    request:  JSON of Inference-Header-Content-Length bytes | data of input a | data of input c | ...
    response: the same, for each output that was asked for in binary

An input is binary when its parameters hold `binary_data_size`. Outputs are binary by their own
parameter `binary_data`, or else by the request's `binary_data_output`.
Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
This module must not know HTTP: a header's value arrives as an argument.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from fairlead_server.errors import ServingError
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
from fairlead_server.protocols.json_forms import LARGEST, Forms
from fairlead_server.protocols.raw import Buffer, decode_raw, encode_raw
from fairlead_server.protocols.v2_json import (
    InputDocument,
    OutputDocument,
    RequestDocument,
    decode_data,
    decode_input,
    encode_data,
    parse,
)
from fairlead_server.tensors.array import Tensor
from fairlead_server.tensors.datatypes import SIZES

LONG = 256 * 1024  # bytes of JSON
LONG_VALUES = 2**15
_ENCODER = msgspec.json.Encoder()


def decode_request(body: bytes, header_length: str | None = None) -> InferRequest:
    """`header_length` is the text of Inference-Header-Content-Length. Tensors may be views of `body`."""
    length = len(body) if header_length is None else _header_length(header_length, len(body))
    if length > LONG:
        return _parse_request(body, length)
    request = _known_json(body) if length == len(body) else _known_binary(body, length)
    return request if request is not None else _parse_request(body, length)


def is_long(body: bytes, header_length: str | None) -> bool:
    """Whether reading the request takes so long that others should not have to wait for it. It may then be read on
    another thread."""
    if len(body) <= LONG:
        return False
    return header_length is None or (header_length.isdigit() and int(header_length[:20]) > LONG)


def is_long_answer(response: InferResponse, request: InferRequest) -> bool:
    """The same for writing one."""
    outputs = response.outputs
    values: int = outputs[0].array.size if len(outputs) == 1 else sum([tensor.array.size for tensor in outputs])
    return values > LONG_VALUES and _slow_values(response, _in_binary(response, request)) > LONG_VALUES


def _parse_request(body: bytes, length: int) -> InferRequest:
    ration = Ration()
    ration.take(body.count(b",", 0, length))
    document = parse(body if length == len(body) else memoryview(body)[:length])
    check_tensors("inputs", len(document.inputs))
    tail = _Tail(body, length, ration)
    inputs = [_input(item, tail) if item.parameters else decode_input(item) for item in document.inputs]
    tail.finish()
    outputs = _requested(document.outputs) if document.outputs else []
    parameters = document.parameters or {}
    check_features("the request", parameters)
    request = InferRequest(inputs, outputs, document.id or "", parameters)
    if length <= LONG and _FORMS.wants_one():
        _learn(body, length, document, request)
    return request


class _Described(NamedTuple):
    """What the form of a request says: all of it but the values."""

    inputs: tuple[tuple[str, str, tuple[int, ...], int], ...]  # name, datatype, shape, number of elements
    outputs: list[RequestedOutput]
    id: str
    parameters: Mapping[str, Any]
    raw_bytes: int


def _learn(body: bytes, length: int, document: RequestDocument, request: InferRequest) -> None:
    """Of requests whose inputs are all binary numbers, or whose one input is JSON."""
    raw = [item.raw for item in document.inputs]
    described = tuple((t.name, t.datatype, t.shape, t.array.size) for t in request.inputs)
    meaning = _Described(described, request.outputs, request.id, request.parameters, len(body) - length)
    if len(raw) == 1 and raw[0] is not None and length == len(body):
        _FORMS.learn(body, bytes(raw[0]), meaning)
    elif length < len(body) and not any(raw) and not any(t.datatype == "BYTES" for t in request.inputs):
        _FORMS.learn_whole(body[:length], meaning)


def _known_json(body: bytes) -> InferRequest | None:
    found = _FORMS.find(body)
    if found is None:
        return None
    (described, outputs, identity, parameters, _), data = found
    try:
        tensor = decode_data(*described[0], data)  # a text that is not long holds fewer values than a ration
    except ServingError:
        return None  # the parser says why, or that it is another request than it seemed
    return InferRequest([tensor], outputs, identity, parameters)


def _known_binary(body: bytes, length: int) -> InferRequest | None:
    described = _FORMS.find_whole(body[:length]) if length <= LARGEST else None
    if described is None or described.raw_bytes != len(body) - length:
        return None
    view, ration, at = memoryview(body), Ration(), length
    inputs: list[Tensor] = []
    for name, datatype, shape, expected in described.inputs:
        size = expected * (SIZES[datatype] or 1)
        inputs.append(decode_raw(name, datatype, shape, expected, view[at : at + size], ration))
        at += size
    return InferRequest(inputs, described.outputs, described.id, described.parameters)


def _data_of(text: bytes) -> bytes | None:
    try:
        [item] = parse(text).inputs
    except (ServingError, ValueError):
        return None
    return bytes(item.raw or b"")


_FORMS: Forms[_Described] = Forms(_data_of)


def _requested(documents: list[OutputDocument]) -> list[RequestedOutput]:
    check_tensors("outputs", len(documents))
    outputs = [RequestedOutput(item.name, item.parameters or {}) for item in documents]
    for output in outputs:
        check_features(f"output {quote(output.name)}", output.parameters)
    return outputs


def encode_response(response: InferResponse, request: InferRequest) -> tuple[list[Buffer], int | None]:
    """The parts of the body, and the length of the JSON when binary parts follow it."""
    binary = _in_binary(response, request)
    if is_long_answer(response, request):
        advice = "send fewer rows, or ask for numbers as binary data (binary_data_output)"
        check_answer(_slow_values(response, binary), advice)
    outputs: list[bytes] = []
    parts: list[Buffer] = []
    for tensor in response.outputs:
        start, shape = _start_of_output(tensor.name, tensor.datatype), _ENCODER.encode(tensor.array.shape)
        if tensor.name in binary:
            data = encode_raw(tensor)
            parts.append(data)
            outputs.append(b'%b%b,"parameters":{"binary_data_size":%d}}' % (start, shape, len(data)))
        else:
            outputs.append(b'%b%b,"data":%b}' % (start, shape, encode_data(tensor)))
    head = b"".join((_start_of_answer(response), b',"outputs":[', b",".join(outputs), b"]}"))
    return [head, *parts], len(head) if binary else None


def _slow_values(response: InferResponse, binary: Collection[str]) -> int:
    """Those that are written one by one."""
    slow = 0
    for tensor in response.outputs:
        if tensor.name not in binary or tensor.datatype == "BYTES":
            slow += tensor.array.size
    return slow


def _in_binary(response: InferResponse, request: InferRequest) -> Collection[str]:
    """The outputs that are wanted in binary."""
    usual = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return [tensor.name for tensor in response.outputs] if usual else ()
    wishes = {output.name: output.parameters for output in request.outputs}
    return {tensor.name for tensor in response.outputs if wishes.get(tensor.name, {}).get("binary_data", usual) is True}


def _start_of_answer(response: InferResponse) -> bytes:
    start = _start_of_any(response.model, response.version)
    if response.id:
        start += b',"id":' + _ENCODER.encode(response.id)
    if response.parameters:
        start += b',"parameters":' + _ENCODER.encode(dict(response.parameters))
    return start


# Names of models and tensors come from the catalog and the models, not from clients.
@functools.lru_cache(maxsize=4096)
def _start_of_any(model: str, version: str) -> bytes:
    return b'{"model_name":%b,"model_version":%b' % (_ENCODER.encode(model), _ENCODER.encode(version))


@functools.lru_cache(maxsize=4096)
def _start_of_output(name: str, datatype: str) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":' % (_ENCODER.encode(name), datatype.encode())


def _header_length(text: str, total: int) -> int:
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
    if document.raw is not None:
        invalid(f"input {quote(name)} has both data and binary_data_size: send one of them")
    datatype = check_datatype(name, document.datatype)
    shape, expected = check_shape(name, document.shape)
    return decode_raw(name, datatype, shape, expected, tail.take(name, size), tail.ration)


class _Tail:
    """The bytes after the JSON, handed out in the order of the inputs."""

    __slots__ = ("_at", "_body", "ration")

    def __init__(self, body: bytes, at: int, ration: Ration) -> None:
        self.ration = ration
        self._body = body
        self._at = at

    def take(self, name: str, size: int) -> memoryview:
        start, left = self._at, len(self._body) - self._at
        if size > left:
            invalid(
                f"input {quote(name)} says {size} bytes of binary data; {left} are left after the JSON "
                "(Inference-Header-Content-Length tells where it ends)"
            )
        self._at = start + size
        return memoryview(self._body)[start : self._at]

    def finish(self) -> None:
        left = len(self._body) - self._at
        if left:
            invalid(f"{left} bytes follow the last binary input: binary_data_size of the inputs must cover them all")
