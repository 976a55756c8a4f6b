"""Rule 1 by the signature: may rows be put together?"""

import numpy as np
import pytest

from fairlead_server.batching.rows import fixed, leading_rows, shape_key, why_not
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.signature import Signature, TensorSpec


def spec(name: str, shape: tuple[int, ...], *symbols: str) -> TensorSpec:
    return TensorSpec(name, "FP32", shape, symbols)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([spec("x", (-1, 4), "N", "")], [spec("y", (-1,), "N")], ""),
        ([spec("x", (-1, 4))], [spec("y", (-1, 2))], ""),  # skl2onnx: no names
        ([spec("x", (-1, 4))], [spec("y", (-1, 2), "N", "")], ""),
        ([spec("x", (-1, 4), "unk__6", "")], [spec("y", (-1,), "unk__7")], ""),  # tf2onnx: made-up names
        ([spec("x", (-1, 4), "N", "")], [spec("y", (-1, 2), "M", "")], "different leading dimensions ('N' and 'M')"),
        ([spec("a", (-1,), "N"), spec("b", (-1,), "M")], [spec("y", (-1,), "N")], "input 'a' and input 'b'"),
        ([spec("x", (1, 4))], [spec("y", (1, 2))], "input 'x' has no free leading dimension (shape [1, 4])"),
        ([spec("x", (-1, 4), "N", "")], [spec("y", ())], "output 'y' has no free leading dimension"),
        ([], [spec("y", (-1,))], "no inputs"),
    ],
)
def test_why_rows_cannot_be_batched(inputs: list[TensorSpec], outputs: list[TensorSpec], reason: str) -> None:
    """One free leading dimension, shared by everything; else a sentence that names what is not."""
    told = why_not(Signature(tuple(inputs), tuple(outputs)))
    assert reason in told
    assert bool(reason) == bool(told)


def test_inputs_must_agree_on_their_rows() -> None:
    """Which two disagree is told."""
    assert leading_rows({"a": np.zeros((3, 1)), "b": np.zeros(3)}) == 3
    with pytest.raises(ServingError, match="'a' 3, 'b' 2") as caught:
        leading_rows({"a": np.zeros(3), "b": np.zeros(2)})
    assert caught.value.kind is Kind.INVALID


def test_keys_differ_where_inputs_cannot_be_joined() -> None:
    """By names, datatypes and inner sizes, not by rows or by the order of the inputs."""
    a = {"x": np.zeros((2, 3)), "y": np.zeros(2)}
    assert shape_key(a) == shape_key({"y": np.zeros(5), "x": np.zeros((5, 3))})
    others = [{"x": np.zeros((2, 4)), "y": np.zeros(2)}, {"x": np.zeros((2, 3))}, {**a, "y": np.zeros(2, np.float32)}]
    assert all(shape_key(a) != shape_key(other) for other in others)


def test_fixed_shapes_need_no_key() -> None:
    """Only where every size but the first is fixed and no input may be left out."""
    y = (spec("y", (-1,)),)
    assert fixed(Signature((spec("x", (-1, 4)),), y))
    assert not fixed(Signature((spec("x", (-1, -1)),), y))
    assert not fixed(Signature((TensorSpec("x", "FP32", (-1,), optional=True),), y))
