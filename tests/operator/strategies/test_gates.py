"""The signature gate: whether who called the old version may call the new one."""

from __future__ import annotations

import pytest

from fairlead_operator.documents import Signature, TensorSpec
from fairlead_operator.strategies.gates import accepts


def one(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> Signature:
    return Signature(inputs, outputs)


X = TensorSpec("x", "FP32", (-1, 4))
Y = TensorSpec("y", "FP32", (-1, 3))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (one(X), one(X), ""),
        (one(X), one(TensorSpec("x", "FP32", (-1, -1))), ""),
        (one(X), one(TensorSpec("x", "FP32", (8, 4))), "had shape [-1, 4] and has [8, 4]"),
        (one(X), one(TensorSpec("x", "FP32", (-1, 5))), "has [-1, 5]"),
        (one(X), one(TensorSpec("x", "FP32", (-1, 4, 1))), "has [-1, 4, 1]"),
        (one(X), one(TensorSpec("x", "FP64", (-1, 4))), "was FP32 and is FP64"),
        (one(X), one(Y), "input 'x' is gone"),
        (one(X), one(X, Y), "it needs a new input 'y'"),
        (one(X), one(X, TensorSpec("y", "FP32", (1,), optional=True)), ""),
        (
            one(TensorSpec("x", "FP32", (1,), optional=True)),
            one(TensorSpec("x", "FP32", (1,))),
            "optional and is needed",
        ),
        (one(X, outputs=(Y,)), one(X, outputs=(Y, X)), ""),
        (one(X, outputs=(Y,)), one(X), "output 'y' is gone"),
        (
            one(X, outputs=(Y,)),
            one(X, outputs=(TensorSpec("y", "INT64", (-1, 3)),)),
            "output 'y' was FP32 and is INT64",
        ),
        (one(X, outputs=(Y,)), one(X, outputs=(TensorSpec("y", "FP32", (-1, 10)),)), ""),
    ],
)
def test_accepts(old: Signature, new: Signature, fault: str) -> None:
    """Every old input is taken, no new one is needed, every old output is still given."""
    verdict = accepts(old, new)
    assert verdict.passed == (not fault)
    assert fault in verdict.refuse
