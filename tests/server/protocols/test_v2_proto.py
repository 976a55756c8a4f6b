from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferResponse
from fairlead_server.protocols.faults import MAX_TENSORS, MAX_VALUES
from fairlead_server.protocols.v2_messages import message
from fairlead_server.protocols.v2_proto import CONTENTS, decode_request, encode_response
from fairlead_server.tensors.array import Tensor
from fairlead_server.tensors.datatypes import DATATYPES

Request = message("ModelInferRequest")


def typed(datatype: str, shape: list[int], values: list[Any], field: str = "", **more: Any) -> bytes:
    """A request with one input of typed contents."""
    request = Request(model_name="m", **more)
    item = request.inputs.add(name="x", datatype=datatype, shape=shape)
    getattr(item.contents, field or CONTENTS[datatype]).extend(values)
    return request.SerializeToString()


def raw(datatype: str, shape: list[int], *contents: bytes, **more: Any) -> bytes:
    request = Request(model_name="m", raw_input_contents=contents, **more)
    request.inputs.add(name="x", datatype=datatype, shape=shape)
    return request.SerializeToString()


def refusal(data: bytes) -> ServingError:
    with pytest.raises(ServingError) as caught:
        decode_request(data)
    return caught.value


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP32": [0.5, np.inf],
    "FP64": [0.1, -np.inf],
    "BYTES": [b"", "ü".encode()],
}


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents_are_exact(datatype: str) -> None:
    """Both ends of every range come through."""
    _, _, request = decode_request(typed(datatype, [2, 1], VALUES[datatype]))
    expected = [value.decode() if isinstance(value, bytes) else value for value in VALUES[datatype]]
    assert (request.inputs[0].array.reshape(-1).tolist(), request.inputs[0].shape) == (expected, (2, 1))


def test_every_datatype_but_fp16_has_typed_contents() -> None:
    """FP16 has no field of its own in the protocol."""
    assert set(DATATYPES) - set(CONTENTS) == {"FP16"}


def test_raw_contents_are_a_view() -> None:
    """Raw tensors are not copied once the message is parsed."""
    array = np.array([1.5, -2], np.float16)
    model, version, request = decode_request(raw("FP16", [2], array.tobytes(), model_version="champion", id="7"))
    assert (model, version, request.id) == ("m", "champion", "7")
    assert request.inputs[0].array.tolist() == [1.5, -2]
    assert not request.inputs[0].array.flags.owndata


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "not a ModelInferRequest"),
        (b"\x0a\x01\xff", "not a ModelInferRequest"),
        (typed("INT32", [1], [1], raw_input_contents=[b"1234"]), "use one of the two"),
        (raw("INT32", [1], b"1234", b"5678"), "2 entries for 1 inputs"),
        (raw("INT32", [1], b"123"), "has 3 bytes"),
        (raw("BYTES", [1], b"\x01\x00\x00\x00\xff"), "not UTF-8"),
        (typed("INT32", [2], [1]), "has 1 elements; its shape [2] asks for 2"),
        (raw("INT32", [1]), "has 0 elements"),
        (typed("INT8", [1], [128]), "beyond the range of INT8"),
        (typed("UINT16", [1], [70000]), "beyond the range of UINT16"),
        (typed("INT64", [1], [1], "int_contents"), "use int64_contents alone"),
        (typed("FP16", [1], [1.0], "fp32_contents"), "no typed contents"),
        (typed("BYTES", [1], [b"\xff"]), "not UTF-8"),
        (typed("FP31", [1], [1.0], "fp32_contents"), "unknown datatype"),
        (typed("FP32", [-1], [1.0]), "negative"),
    ],
)
def test_a_wrong_message_is_told(data: bytes, said: str) -> None:
    """Raw and typed do not mix, counts and ranges hold, and the message says which tensor."""
    error = refusal(data)
    assert error.kind is Kind.INVALID
    assert said in error.message


def test_an_empty_tensor_needs_no_contents() -> None:
    """A dimension of 0 is a tensor like any other, typed or raw."""
    for data in (raw("FP32", [0, 2]), raw("FP32", [0, 2], b""), typed("BYTES", [0], [])):
        assert decode_request(data)[2].inputs[0].array.size == 0


def test_parameters_of_every_kind_are_read() -> None:
    """Triton's two kinds beyond the protocol's three are understood; one without a value is left out."""
    request = Request(model_name="m")
    request.parameters["flag"].bool_param = False
    request.parameters["number"].int64_param = -7
    request.parameters["text"].string_param = "a"
    request.parameters["ratio"].double_param = 0.5
    request.parameters["large"].uint64_param = 2**63
    request.parameters["nothing"].SetInParent()
    _, version, decoded = decode_request(request.SerializeToString())
    assert version is None
    assert decoded.parameters == {"flag": False, "number": -7, "text": "a", "ratio": 0.5, "large": 2**63}


def test_extensions_that_are_not_done_are_refused() -> None:
    """The same refusals as over HTTP."""
    request = Request(model_name="m")
    request.outputs.add(name="y").parameters["classification"].int64_param = 3
    assert refusal(request.SerializeToString()).kind is Kind.UNSUPPORTED


def test_an_answer_is_raw() -> None:
    """Every output is described, and its bytes lie in order; parameters keep their kinds."""
    outputs = [
        Tensor("y", "FP32", np.array([[1.5]], np.float32)),
        Tensor("t", "BYTES", np.array(["ü"], dtype=object)),
        Tensor("e", "INT8", np.zeros((0, 2), np.int8)),
    ]
    parameters = {"flag": True, "number": 3, "ratio": 0.5, "text": "a"}
    answer = message("ModelInferResponse").FromString(
        encode_response(InferResponse("m", "2", "7", outputs, parameters))
    )
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "7")
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [
        ("y", "FP32", [1, 1]),
        ("t", "BYTES", [1]),
        ("e", "INT8", [0, 2]),
    ]
    assert list(answer.raw_output_contents) == [outputs[0].array.tobytes(), b"\x02\x00\x00\x00" + "ü".encode(), b""]
    assert answer.parameters["number"].int64_param == 3
    assert answer.parameters["flag"].WhichOneof("parameter_choice") == "bool_param"


def test_what_would_hold_up_all_other_requests_is_refused_before_it_is_read() -> None:
    """Typed contents, strings, and tensors cost the loop time one by one; raw numbers do not."""
    many = MAX_VALUES + 1
    refused = [typed("INT32", [many], [0] * many), raw("BYTES", [many], bytes(4 * many))]
    request = Request(model_name="m")
    for _ in range(MAX_TENSORS + 1):
        request.inputs.add(name="x", datatype="FP32", shape=[1])
    assert {refusal(data).kind for data in (*refused, request.SerializeToString())} == {Kind.TOO_LARGE}
    assert decode_request(raw("UINT8", [many], bytes(many)))[2].inputs[0].shape == (many,)


def test_an_answer_beyond_what_a_message_holds_is_refused() -> None:
    """Protobuf ends at 2 GiB, and would fail as a fault of ours."""
    response = InferResponse("m", "1", "", [Tensor("y", "FP32", np.broadcast_to(np.float32(1), (2**29,)))])
    with pytest.raises(ServingError, match="send fewer rows") as caught:
        encode_response(response)
    assert caught.value.kind is Kind.TOO_LARGE
