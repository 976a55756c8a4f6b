"""Requests against a signature: what fits passes untouched, what does not is told with name, wish and finding."""

from __future__ import annotations

import numpy as np
import pytest

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, RequestedOutput
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.service.checking import Checker
from fairlead_server.tensors.array import NUMPY, Tensor

SIGNATURE = Signature(
    inputs=(
        TensorSpec("x", "FP32", (-1, 4)),
        TensorSpec("mask", "BOOL", (-1,), optional=True),
        TensorSpec("scale", "FP64", ()),
    ),
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("score", "FP32", (-1, 2))),
)


def tensor(name: str, datatype: str, *shape: int) -> Tensor:
    return Tensor(name, datatype, np.zeros(shape, NUMPY[datatype]))


GOOD = [tensor("x", "FP32", 3, 4), tensor("scale", "FP64")]


def request(*tensors: Tensor) -> InferRequest:
    return InferRequest(list(tensors))


def test_what_fits_passes_as_it_is() -> None:
    """The very arrays, by name; an optional input may be there or not; a scalar and no rows are shapes too."""
    checker = Checker(SIGNATURE)
    arrays = checker.inputs(request(*GOOD))
    assert (arrays["x"] is GOOD[0].array, list(arrays)) == (True, ["x", "scale"])
    arrays = checker.inputs(request(tensor("mask", "BOOL", 0), tensor("scale", "FP64"), tensor("x", "FP32", 0, 4)))
    assert list(arrays) == ["mask", "scale", "x"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([*GOOD, tensor("y", "FP32", 1)], "the model has no input 'y'; its inputs are 'x', 'mask', 'scale'"),
        ([*GOOD, GOOD[0]], "input 'x' is given twice"),
        ([GOOD[0]], "input 'scale' (FP64, shape []) is missing"),
        ([], "input 'x' (FP32, shape [-1, 4]) is missing"),
        ([tensor("x", "FP64", 3, 4), GOOD[1]], "input 'x' has datatype FP64; the model takes FP32"),
        ([tensor("x", "FP32", 3, 5), GOOD[1]], "input 'x' has shape [3, 5]; the model takes [-1, 4]"),
        ([tensor("x", "FP32", 4), GOOD[1]], "input 'x' has shape [4]; the model takes [-1, 4]"),
        ([*GOOD, tensor("mask", "BOOL", 1, 1)], "input 'mask' has shape [1, 1]; the model takes [-1]"),
        ([GOOD[0], tensor("scale", "FP64", 1)], "input 'scale' has shape [1]; the model takes []"),
    ],
)
def test_what_does_not_fit_is_told(tensors: list[Tensor], message: str) -> None:
    """Each error is INVALID and names the tensor, what was expected and what was found."""
    with pytest.raises(ServingError) as caught:
        Checker(SIGNATURE).inputs(request(*tensors))
    assert (caught.value.kind, caught.value.message) == (Kind.INVALID, message)


def test_a_model_without_inputs_says_so() -> None:
    """The list of an error is never empty."""
    with pytest.raises(ServingError, match="it has no inputs"):
        Checker(Signature((), SIGNATURE.outputs)).inputs(request(GOOD[0]))
    assert Checker(Signature((), SIGNATURE.outputs)).inputs(request()) == {}


def test_outputs_are_those_asked_for_in_that_order() -> None:
    """None asked for means all, in the signature's order."""
    checker = Checker(SIGNATURE)
    arrays = {"label": np.zeros(3, np.int64), "score": np.zeros((3, 2), np.float32)}
    names = checker.outputs([RequestedOutput("score"), RequestedOutput("label")])
    assert [output.name for output in checker.answer(names, arrays)] == ["score", "label"]
    assert checker.outputs([]) == ()
    assert [(output.name, output.datatype) for output in checker.answer((), arrays)] == [
        ("label", "INT64"),
        ("score", "FP32"),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["logits"], "the model has no output 'logits'; its outputs are 'label', 'score'"),
        (["label", "label"], "output 'label' is asked for twice"),
    ],
)
def test_outputs_that_are_not_there_are_told(names: list[str], message: str) -> None:
    """An output that cannot be given is the request's fault, found before anything runs."""
    with pytest.raises(ServingError) as caught:
        Checker(SIGNATURE).outputs([RequestedOutput(name) for name in names])
    assert (caught.value.kind, caught.value.message) == (Kind.INVALID, message)
