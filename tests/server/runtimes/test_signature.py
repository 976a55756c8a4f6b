"""The session's signature, and what MLmodel may change in it."""

from typing import Any

import pytest

from fairlead_server.models.signature import TensorSpec
from fairlead_server.runtimes import LoadFailure
from fairlead_server.runtimes.mlmodel import LoggedTensor, MLmodel
from fairlead_server.runtimes.signature import Argument, build


def logged(*inputs: LoggedTensor) -> MLmodel:
    return MLmodel(("onnx",), "model.onnx", inputs, (), "")


@pytest.mark.parametrize(
    ("shape", "said", "result"),
    [
        (["N", "T"], [LoggedTensor("x", (-1, 7))], (-1, 7)),
        (["N", "T"], [LoggedTensor("", (-1, 7))], (-1, 7)),  # one tensor without a name
        (["N", 4], [LoggedTensor("x", (-1, -1))], (-1, 4)),  # never wider
        (["N", 4], [LoggedTensor("x", (-1, 7))], (-1, 4)),  # never against the session
        (["N", "T"], [LoggedTensor("x", (-1, 7, 7))], (-1, -1)),
        (["N", "T"], [LoggedTensor("age", None), LoggedTensor("name", None)], (-1, -1)),  # a table's columns
        (["N", "T"], [LoggedTensor("x", None)], (-1, -1)),
        (["N", "T"], [LoggedTensor("other", (-1, 7))], (-1, -1)),
        ([], [LoggedTensor("x", (-1, 7))], (-1, 7)),  # a rank that the session does not know
        ([None, None], [], (-1, -1)),
    ],
)
def test_mlmodel_only_narrows(shape: list[Any], said: list[LoggedTensor], result: tuple[int, ...]) -> None:
    """What is free may be fixed; what contradicts the session is passed over."""
    told = build([Argument("x", "tensor(float)", shape)], [], {}, logged(*said))
    assert told.inputs[0].shape == result


def test_symbols_are_kept_where_there_are_any() -> None:
    """By their names in the file; "" where a size has none."""
    specs = build(
        [Argument(name, "tensor(int64)", shape) for name, shape in (("a", ["N", None]), ("b", [None, 3]))], [], {}, None
    )
    assert specs.inputs == (
        TensorSpec("a", "INT64", (-1, -1), ("N", "")),
        TensorSpec("b", "INT64", (-1, 3)),
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("seq(map(int64,tensor(float)))", "zipmap"),
        ("map(string,tensor(float))", "only tensors"),
        ("optional(tensor(float))", "only tensors"),
        ("sparse_tensor(float)", "only tensors"),
        ("tensor(bfloat16)", "cast it"),
    ],
)
def test_what_cannot_be_carried_is_refused(kind: str, words: str) -> None:
    """With what to do about it."""
    with pytest.raises(LoadFailure, match=words) as caught:
        build([], [Argument("y", kind, [])], {}, None)
    assert "output 'y'" in caught.value.reason
