from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.errors import Kind, ServingError
from fairlead_server.protocols.v2_json import PIECE, decode_input, encode_data, parse, pieces
from fairlead_server.tensors.array import NUMPY, Tensor


def decode(datatype: str, shape: list[int], data: str) -> np.ndarray[Any, Any]:
    """The array of one input with this text as its data."""
    text = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}'
    [document] = parse(text.encode()).inputs
    tensor = decode_input(document)
    assert tensor.array.dtype == NUMPY[datatype]
    assert tensor.shape == tuple(shape)
    return tensor.array


def refusal(datatype: str, shape: list[int], data: str) -> str:
    with pytest.raises(ServingError) as caught:
        decode(datatype, shape, data)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        ("BOOL", "[true, false]", [True, False]),
        ("UINT8", "[0, 255]", [0, 255]),
        ("INT8", "[-128, 127]", [-128, 127]),
        ("UINT16", "[0, 65535]", [0, 65535]),
        ("INT32", "[-2147483648, 2147483647]", [-(2**31), 2**31 - 1]),
        ("INT64", "[-9223372036854775808, 9223372036854775807]", [-(2**63), 2**63 - 1]),
        ("INT64", "[9007199254740993, -0]", [9007199254740993, 0]),
        ("UINT64", "[0, 18446744073709551615]", [0, 2**64 - 1]),
        ("FP16", "[65504, -0.5]", [65504.0, -0.5]),
        ("FP32", "[1, 3.4028234663852886e38]", [1.0, 3.4028234663852886e38]),
        ("FP32", "[1e-60, -0.0]", [0.0, -0.0]),
        ("FP64", "[1.7976931348623157e308, 5e-324]", [1.7976931348623157e308, 5e-324]),
        ("FP64", '["-Infinity", 12345678901234567890123]', [-math.inf, 1.2345678901234568e22]),
        ("BYTES", '["gr\\u00fcn", "a\\u0000b"]', ["grün", "a\0b"]),
    ],
)
def test_data_within_the_datatype_is_exact(datatype: str, data: str, expected: list[Any]) -> None:
    """Both ends of every range, integers beyond 2**53, and strings with any character."""
    assert repr(decode(datatype, [2], data).tolist()) == repr(expected)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT32", "[1, 1.5]"),
        ("INT32", "[1, 1.0]"),
        ("INT64", "[1, 9007199254740993.0]"),
        ("INT32", "[1, true]"),
        ("INT32", '[1, "1"]'),
        ("INT32", "[1, null]"),
        ("INT32", "[1, 2147483648]"),
        ("INT8", "[1, -129]"),
        ("UINT8", "[1, 300]"),
        ("UINT64", "[1, -1]"),
        ("UINT64", "[1, 18446744073709551616]"),
        ("INT64", "[1, 9223372036854775808]"),
        ("INT64", "[1, " + "9" * 5000 + "]"),
        ("BOOL", "[true, 1]"),
        ("FP16", "[1, 65520]"),
        ("FP32", "[1, 3.5e38]"),
        ("FP32", '["NaN", 3.5e38]'),
        ("FP64", "[1, 1e309]"),
        ("FP64", "[1, " + "9" * 400 + "]"),
        ("FP32", '[1, "1"]'),
        ("FP32", '[1, "nan"]'),
        ("FP32", '[1, "+Infinity"]'),
        ("FP32", "[1, null]"),
        ("FP32", "[1, true]"),
        ("FP32", "[1, {}]"),
        ("BYTES", '["a", 1]'),
        ("BYTES", '["a", null]'),
    ],
    ids=lambda text: text[:30],
)
def test_data_that_is_no_such_number_is_refused_by_name(datatype: str, data: str) -> None:
    """Nothing is cast in silence: another kind, or beyond the range, names the tensor."""
    assert "'x'" in refusal(datatype, [2], data)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 3], "[1,2,3,4,5,6]"),
        ([2, 3], "[[1,2,3],[4,5,6]]"),
        ([2, 3], " [ [1,2,3] ,\n[4,5,6]]"),
        ([1, 1, 1], "[[[1]]]"),
        ([], "[1]"),
        ([0], "[]"),
        ([0, 3], "[]"),
        ([2, 0], "[[],[]]"),
        ([2, 0, 3], "[[],[]]"),
    ],
)
def test_data_may_be_flat_or_nested_as_its_shape(shape: list[int], data: str) -> None:
    """Both forms give the same array; a dimension of 0 gives an empty one."""
    flat = json.loads("[" + data.replace("[", "").replace("]", "").replace(",,", ",").strip(", \n") + "]")
    flat = [number for number in flat if number is not None] if "1" in data else []
    assert decode("INT32", shape, data).reshape(-1).tolist() == flat


@pytest.mark.parametrize(
    ("shape", "data", "said"),
    [
        ([2, 3], "[1,2,3]", "has 3 elements; its shape [2, 3] asks for 6"),
        ([0], "[1]", "has 1 elements; its shape [0] asks for 0"),
        ([2, 2], "[[1,2,3,4]]", "data of shape [1, 4]; its shape says [2, 2]"),
        ([2, 2], "[[1,2],[3]]", "nested unevenly"),
        ([2, 2], "[[1,2],3]", "does not fit INT32"),
        ([2, 2], "[[[1,2]],[[3,4]]]", "must be flat, or nested"),
        ([4], "[[1,2,3,4]]", "must be flat, or nested"),
        ([1], "1", "must be an array"),
        ([1], '"1"', "must be an array"),
        ([1], "null", "has no data"),
        ([-1], "[1]", "negative"),
        ([2**63], "[1]", "too large"),
        ([0, 2**62, 2**62], "[]", "too large"),
        ([1] * 33, "[1]", "33 dimensions"),
    ],
)
def test_data_that_does_not_match_its_shape_is_told_with_both(shape: list[int], data: str, said: str) -> None:
    """The message says what was expected and what was found."""
    assert said in refusal("INT32", shape, data)


def test_strings_nested_unevenly_are_refused() -> None:
    """Rows of strings are checked like rows of numbers."""
    assert "'x'" in refusal("BYTES", [2, 2], '[["a","b"],["c"]]')


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"inputs": 1}',
        b'{"inputs": [{"name": "x"}]}',
        b'{"inputs": [{"name": "\xff", "shape": [1], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1.5], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": "x", "shape": ["1"], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": 7, "shape": [1], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [01]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["\\udc00"]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["\\ud800"]}]}',
        b'{"inputs": [], "id": 7}',
        b'{"inputs": []} {}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": '
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}]}",
        b'{"a": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_000 + b', "inputs": []}',
    ],
    ids=lambda text: ascii(text[:60]),
)
def test_what_is_no_request_is_invalid(text: bytes) -> None:
    """Broken JSON, other JSON, text that is not UTF-8, and nesting without end."""
    with pytest.raises(ServingError) as caught:
        parse(text)
    assert caught.value.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("datatype", "kind"), [("FP33", Kind.INVALID), ("fp32", Kind.INVALID), ("BF16", Kind.UNSUPPORTED)]
)
def test_a_datatype_that_is_not_known_is_told(datatype: str, kind: Kind) -> None:
    """An unknown datatype is invalid; one that is known and not done here is unsupported."""
    with pytest.raises(ServingError, match="'x'") as caught:
        decode(datatype, [1], "[1]")
    assert caught.value.kind is kind


def back_and_forth(datatype: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return decode(datatype, list(array.shape), encode_data(Tensor("x", datatype, array)).decode())


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_single_floats_keep_their_bits(bits: list[int]) -> None:
    """Any FP32 goes through JSON and comes back the same, NaN as a NaN."""
    array = np.array(bits, dtype=np.uint32).view(np.float32)
    np.testing.assert_array_equal(back_and_forth("FP32", array), array)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_doubles_keep_their_bits(bits: list[int]) -> None:
    """Any FP64 goes through JSON and comes back the same."""
    array = np.array(bits, dtype=np.uint64).view(np.float64)
    np.testing.assert_array_equal(back_and_forth("FP64", array), array)


def test_half_floats_keep_their_bits() -> None:
    """All 65536 of them."""
    array = np.arange(2**16, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(back_and_forth("FP16", array), array)


def test_the_shortest_text_of_a_single_float_is_understood() -> None:
    """Other writers print fewer digits; reading those by way of 64 bits gives the same FP32."""
    array = np.random.default_rng(7).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    array = array[np.isfinite(array)]
    text = "[" + ",".join(str(number) for number in array) + "]"
    assert (decode("FP32", [array.size], text) == array).all()


def test_a_view_with_gaps_is_written_in_order() -> None:
    """An output that is not contiguous comes out row by row."""
    array = np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2]
    assert encode_data(Tensor("x", "INT64", array)) == b"[0,2,4,6,8,10]"


@pytest.mark.parametrize("shape", [[7 * PIECE], [1, 7 * PIECE], [7, PIECE], [PIECE, 7], [PIECE // 8, 8, 7]])
@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_many_values_are_read_and_written_in_pieces_and_give_the_same(
    shape: list[int], spaces: tuple[str, str]
) -> None:
    """Flat and nested, with spaces or without, names of numbers among them."""
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    array[0, ...], array[-1, ...] = np.nan, -np.inf
    flat = encode_data(Tensor("x", "FP32", array)).decode()
    values = json.loads(flat)
    assert len(values) == array.size
    np.testing.assert_array_equal(decode("FP32", shape, flat), array)
    nested = np.array(values, dtype=object).reshape(shape).tolist()
    np.testing.assert_array_equal(decode("FP32", shape, json.dumps(nested, separators=spaces)), array)


@pytest.mark.parametrize(
    ("datatype", "wrong", "said"),
    [
        ("INT32", "[1,2],", "does not fit INT32"),
        ("INT32", "1.5,", "does not fit INT32"),
        ("INT8", "300,", "beyond the range of INT8"),
        ("FP32", '"nan",', "is no number"),
        ("FP32", '"a,b",', "is no number"),
        ("FP32", "4e38,", "beyond the range of FP32"),
        ("FP32", "1,", "elements; its shape"),
    ],
)
def test_a_wrong_value_among_many_is_told_as_among_few(datatype: str, wrong: str, said: str) -> None:
    """The sentence is that of the whole, wherever the cuts are."""
    size = 3 * PIECE
    assert said in refusal(datatype, [size], f"[{'1,' * (size // 2)}{wrong}{'1,' * (size - size // 2 - 1)}1]")


def test_uneven_rows_among_many_are_refused() -> None:
    """One row is longer, and another as much shorter."""
    rows = ["[1,1]"] * PIECE
    rows[5], rows[-5] = "[1,1,1]", "[1]"
    assert "nested unevenly" in refusal("FP32", [PIECE, 2], f"[{','.join(rows)}]")


def test_pieces_are_whole_arrays_and_all_of_it() -> None:
    """Put together again they are what was cut."""
    whole = list(range(20_000))
    found = [json.loads(piece) for piece in pieces(json.dumps(whole).encode())]
    assert len(found) > 3
    assert [element for piece in found for element in piece] == whole
    assert list(pieces(b"[]")) == []


def test_a_shape_far_larger_than_its_many_values_costs_nothing() -> None:
    """Nothing is made of a shape's size before there are as many values."""
    rows = ",".join(["[1]"] * PIECE)
    assert "shape" in refusal("FP32", [2**40, 1], f"[{rows}]")
    empty = ",".join(["[]"] * PIECE)
    assert "shape" in refusal("FP32", [2**40, 0], f"[{empty}]")
