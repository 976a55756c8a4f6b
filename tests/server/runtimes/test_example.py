"""Logged input examples, in the forms in which MLflow 3.17 was seen to write them."""

import math
from typing import Any

import numpy as np
import pytest

from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.runtimes.example import to_inputs


def signature(*inputs: tuple[str, str, tuple[int, ...]]) -> Signature:
    return Signature(tuple(TensorSpec(*entry) for entry in inputs), ())


ONE = signature(("x", "FP32", (-1, 3)))
TWO = signature(("a", "FP32", (-1, 2)), ("b", "INT64", (-1,)))
COLUMNS = signature(("age", "FP32", (-1, 1)), ("name", "BYTES", (-1, 1)))


@pytest.mark.parametrize(
    ("example", "told", "expected"),
    [
        ([[0.0, 0.5, 5.0]], ONE, {"x": [[0.0, 0.5, 5.0]]}),
        ({"inputs": [[0.0, 0.5, 5.0]]}, ONE, {"x": [[0.0, 0.5, 5.0]]}),
        ([0.0, 0.5, 5.0], ONE, {"x": [[0.0, 0.5, 5.0]]}),  # one row, its batch axis left out
        ({"columns": ["p", "q", "r"], "data": [[0, 1, 2], [3, 4, 5]]}, ONE, {"x": [[0, 1, 2], [3, 4, 5]]}),
        ({"a": [[1.0, 2.0]], "b": [7]}, TWO, {"a": [[1.0, 2.0]], "b": [7]}),
        ({"inputs": {"a": [[1.0, 2.0]], "b": [7]}}, TWO, {"a": [[1.0, 2.0]], "b": [7]}),
        ({"columns": ["age", "name"], "data": [[1.5, "ä\0"]]}, COLUMNS, {"age": [[1.5]], "name": [["ä\0"]]}),
        (
            {"dataframe_split": {"columns": ["name", "age"], "data": [["b", 2]]}},
            COLUMNS,
            {"age": [[2]], "name": [["b"]]},
        ),
        (["a", "b"], signature(("s", "BYTES", (-1,))), {"s": ["a", "b"]}),
        ([[2**63 - 1]], signature(("x", "INT64", (-1, 1))), {"x": [[2**63 - 1]]}),
        ([[2**64 - 1]], signature(("x", "UINT64", (-1, 1))), {"x": [[2**64 - 1]]}),
        ([[1.0, 0.0]], signature(("x", "BOOL", (-1, 2))), {"x": [[True, False]]}),
    ],
)
def test_every_form(example: Any, told: Signature, expected: dict[str, Any]) -> None:
    """Arrays of the input's own datatype and rank."""
    inputs = to_inputs(example, told)
    assert inputs is not None
    assert {name: array.tolist() for name, array in inputs.items()} == expected


def test_null_is_nan() -> None:
    """As MLflow writes it."""
    inputs = to_inputs([[None, 1.0, None]], ONE)
    assert inputs is not None
    assert [math.isnan(value) for value in inputs["x"][0]] == [True, False, True]


@pytest.mark.parametrize(
    ("example", "told"),
    [
        (None, ONE),
        ([], ONE),
        ([[1.0, 2.0]], ONE),
        ([[[1.0, 2.0, 3.0]]], ONE),
        ([["a", "b", "c"]], ONE),
        ([[1.0], [1.0, 2.0]], ONE),
        ({"a": [[1.0, 2.0]]}, TWO),
        ({"a": [[1.0, 2.0]], "b": [1.5]}, TWO),
        ({"a": [[1.0, 2.0]], "b": [2**70]}, TWO),
        ([[1.0, 2.0]], TWO),
        ([[1]], signature(("s", "BYTES", (-1, 1)))),
        ([[300]], signature(("x", "UINT8", (-1, 1)))),
        ("text", ONE),
        (7, ONE),
    ],
)
def test_what_does_not_fit_is_no_example(example: Any, told: Signature) -> None:
    """An example that cannot be understood must not condemn a version."""
    assert to_inputs(example, told) is None


def test_arrays_are_the_inputs_own_kind() -> None:
    """Contiguous, native, of the datatype of the protocol."""
    inputs = to_inputs({"columns": ["age", "name"], "data": [[1, "a"], [2, "b"]]}, COLUMNS)
    assert inputs is not None
    assert (inputs["age"].dtype, inputs["age"].shape) == (np.float32, (2, 1))
    assert inputs["age"].flags.c_contiguous
    assert inputs["name"].dtype == object
