from __future__ import annotations

import json
import struct
import time
from typing import Any

import numpy as np
import pytest

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse, RequestedOutput
from fairlead_server.protocols.faults import MAX_TENSORS, MAX_VALUES
from fairlead_server.protocols.v2_binary import decode_request, encode_response
from fairlead_server.tensors.array import Tensor


def binary(name: str, datatype: str, shape: list[int], size: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}} | more


def body(inputs: list[dict[str, Any]], tail: bytes = b"", padding: int = 0, **more: Any) -> tuple[bytes, str]:
    head = json.dumps({"inputs": inputs} | more).encode() + b" " * padding
    return head + tail, str(len(head))


def refusal(data: bytes, header: str | None) -> ServingError:
    with pytest.raises(ServingError) as caught:
        decode_request(data, header)
    return caught.value


@pytest.mark.parametrize("padding", range(8))
def test_binary_and_json_inputs_may_be_mixed(padding: int) -> None:
    """Each input is found where it is, at any offset, and every array is aligned."""
    doubles = np.arange(3, dtype=np.float64)
    inputs = [
        binary("a", "FP64", [3], 24),
        {"name": "b", "datatype": "INT32", "shape": [1], "data": [7]},
        binary("c", "UINT8", [2], 2),
    ]
    request = decode_request(*body(inputs, doubles.tobytes() + b"\x01\x02", padding))
    a, b, c = (tensor.array for tensor in request.inputs)
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0, 1, 2], [7], [1, 2])
    assert a.flags.aligned


def test_aligned_data_is_not_copied() -> None:
    """A tensor that starts well is a view of the request's body, and read-only."""
    request = decode_request(*body([binary("a", "UINT8", [4], 4)], b"abcd"))
    assert not request.inputs[0].array.flags.owndata
    assert not request.inputs[0].array.flags.writeable


def test_a_request_without_binary_parts_needs_no_header() -> None:
    """Plain JSON is the same thing with no tail; id, outputs and parameters come along."""
    data, _ = body([], id="7", parameters={"timeout": 5}, outputs=[{"name": "y"}])
    request = decode_request(data)
    assert (request.id, request.parameters, request.outputs[0].name) == ("7", {"timeout": 5}, "y")


@pytest.mark.parametrize(("datatype", "shape"), [("FP32", [0, 3]), ("BYTES", [0])])
def test_an_empty_tensor_takes_no_bytes(datatype: str, shape: list[int]) -> None:
    """A dimension of 0 is a tensor like any other."""
    [tensor] = decode_request(*body([binary("a", datatype, shape, 0)])).inputs
    assert tensor.shape == tuple(shape)


@pytest.mark.parametrize("header", ["", "-1", "1.5", "x", "1000000", "9" * 30, "٣", "0"])
def test_a_header_length_that_lies_is_invalid(header: str) -> None:
    """The length of the JSON must be one, and the JSON must be there."""
    assert refusal(body([])[0], header).kind is Kind.INVALID


@pytest.mark.parametrize(
    ("item", "tail", "said"),
    [
        (binary("a", "FP32", [2], 8), b"1234", "says 8 bytes of binary data; 4 are left"),
        (binary("a", "FP32", [2], 4), b"1234", "has 4 bytes of data; its shape [2] and datatype FP32 ask for 8"),
        (binary("a", "FP32", [1], 4), b"12345", "1 bytes follow the last binary input"),
        (binary("a", "FP32", [1], -4), b"1234", "binary_data_size"),
        (binary("a", "FP32", [1], 4.0), b"1234", "binary_data_size"),
        (binary("a", "FP32", [1], True), b"1", "binary_data_size"),
        (binary("a", "FP32", [1], 4, data=[1]), b"1234", "both data and binary_data_size"),
        (binary("a", "FP32", [-1], 4), b"1234", "negative"),
        (binary("a", "FP32", [2**40, 2**40], 4), b"1234", "ask for"),
        (binary("a", "BOOL", [2], 2), b"\x00\x02", "other than 0 and 1"),
        (binary("a", "BYTES", [1], 3), b"\x01\x00\x00", "ends inside the length"),
        (binary("a", "BYTES", [1], 6), b"\x09\x00\x00\x00ab", "says 9 bytes for its BYTES element 0; 2 are left"),
        (binary("a", "BYTES", [1], 5), b"\x01\x00\x00\x00\xff", "not UTF-8"),
        (binary("a", "BYTES", [2], 5), b"\x01\x00\x00\x00a", "has 1 elements; its shape [2] asks for 2"),
        (binary("a", "BYTES", [0], 5), b"\x01\x00\x00\x00a", "has 1 elements; its shape [0] asks for 0"),
        ({"name": "a", "datatype": "FP32", "shape": [1]}, b"", "has no data"),
    ],
)
def test_binary_data_that_does_not_fit_is_told(item: dict[str, Any], tail: bytes, said: str) -> None:
    """Sizes, counts and contents are checked before any array is made, and the message names the tensor."""
    error = refusal(*body([item], tail))
    assert error.kind is Kind.INVALID
    assert said in error.message


@pytest.mark.parametrize(
    "more",
    [
        {"inputs": [binary("a", "FP32", [1], 4, parameters={"shared_memory_region": "r"})]},
        {"outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]},
        {"outputs": [{"name": "y", "parameters": {"classification": 3}}]},
        {"parameters": {"sequence_id": 7}},
    ],
)
def test_extensions_that_are_not_done_are_refused(more: dict[str, Any]) -> None:
    """What would change the answer is not passed over in silence."""
    data, header = body(**({"inputs": []} | more))
    assert refusal(data, header).kind is Kind.UNSUPPORTED


OUTPUTS = [
    Tensor("y", "FP32", np.array([[1.5, np.nan]], np.float32)),
    Tensor("t", "BYTES", np.array(["ü"], dtype=object)),
    Tensor("e", "INT8", np.zeros((0, 2), np.int8)),
]


def answer(**parameters: Any) -> tuple[dict[str, Any], bytes, int | None]:
    request = InferRequest([], [RequestedOutput("y", parameters.pop("y", {}))], parameters=parameters)
    parts, length = encode_response(InferResponse("m", "2", "7", OUTPUTS), request)
    data = b"".join(parts)
    return json.loads(data[:length]), data[length:] if length is not None else b"", length


def test_outputs_are_json_unless_asked_for_in_binary() -> None:
    """The plain answer, with NaN by its name."""
    document, tail, length = answer()
    assert (document["model_name"], document["model_version"], document["id"]) == ("m", "2", "7")
    assert [output["data"] for output in document["outputs"]] == [[1.5, "NaN"], ["ü"], []]
    assert (tail, length) == (b"", None)


def test_all_outputs_in_binary() -> None:
    """`binary_data_output` of the request is for every output that says nothing of its own."""
    document, tail, _ = answer(binary_data_output=True)
    assert [output["parameters"]["binary_data_size"] for output in document["outputs"]] == [8, 6, 0]
    assert tail == OUTPUTS[0].array.tobytes() + struct.pack("<I", 2) + "ü".encode()


def test_an_output_decides_for_itself() -> None:
    """`binary_data` of an output stands over the request's wish, both ways."""
    document, _, _ = answer(binary_data_output=True, y={"binary_data": False})
    assert ["data" in output for output in document["outputs"]] == [True, False, False]
    document, tail, _ = answer(y={"binary_data": True})
    assert ["data" in output for output in document["outputs"]] == [False, True, True]
    assert len(tail) == 8


def test_a_view_with_gaps_is_written_in_order() -> None:
    """An output that is not contiguous is sent row by row."""
    tensor = Tensor("y", "INT16", np.arange(6, dtype=np.int16).reshape(2, 3).T)
    request = InferRequest([], parameters={"binary_data_output": True})
    parts, _ = encode_response(InferResponse("m", "1", "", [tensor]), request)
    assert bytes(parts[1]) == np.array([0, 3, 1, 4, 2, 5], np.int16).tobytes()


def too_many(*, strings: int = 0, values: int = 0, inputs: int = 0) -> tuple[bytes, str | None]:
    if strings:
        return body([binary("x", "BYTES", [strings], 4 * strings)], bytes(4 * strings))
    if values:
        return b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d],"data":[%s0]}]}' % (values, b"0," * values), None
    return body([{"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}] * inputs)[0], None


@pytest.mark.parametrize("what", [{"strings": MAX_VALUES + 1}, {"values": MAX_VALUES}, {"inputs": MAX_TENSORS + 1}])
def test_what_would_hold_up_all_other_requests_is_refused_before_it_is_read(what: dict[str, int]) -> None:
    """Values that are read one by one take the loop's time: 256 MiB of them would take minutes of it."""
    data, header = too_many(**what)
    started = time.process_time()
    error = refusal(data, header)
    assert (error.kind, time.process_time() - started < 0.5) == (Kind.TOO_LARGE, True)


def test_raw_numbers_are_not_counted() -> None:
    size = MAX_VALUES + 1
    request = decode_request(*body([binary("x", "UINT8", [size], size)], bytes(size)))
    assert request.inputs[0].shape == (size,)


def test_an_answer_that_would_hold_up_all_other_requests_is_refused_in_json_and_sent_in_binary() -> None:
    """A model may give far more than it takes; the array here is one number, seen many times."""
    many = np.broadcast_to(np.float32(1), (MAX_VALUES + 1,))
    response = InferResponse("m", "1", "", [Tensor("y", "FP32", many)])
    with pytest.raises(ServingError, match="binary_data_output") as caught:
        encode_response(response, InferRequest([]))
    assert caught.value.kind is Kind.TOO_LARGE
    parts, _ = encode_response(response, InferRequest([], parameters={"binary_data_output": True}))
    assert len(parts[1]) == 4 * (MAX_VALUES + 1)
