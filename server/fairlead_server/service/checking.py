"""Does a request fit a signature? Pure, and made once for each version, for every request comes through here.

What it lets pass may still be refused by the batcher (inputs that disagree on the rows) or by the model itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, RequestedOutput
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.tensors.array import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


class Checker:
    """The errors are INVALID, name the tensor, and say what was expected and what was found."""

    def __init__(self, signature: Signature) -> None:
        self._inputs = {spec.name: spec for spec in signature.inputs}
        self._required = frozenset(spec.name for spec in signature.inputs if not spec.optional)
        self._outputs = {spec.name: spec for spec in signature.outputs}
        self._every = tuple((spec.name, spec.datatype) for spec in signature.outputs)

    def inputs(self, request: InferRequest) -> dict[str, Array]:
        """The arrays by name."""
        arrays: dict[str, Array] = {}
        for tensor in request.inputs:
            spec = self._inputs.get(tensor.name)
            if spec is None:
                _refuse(f"the model has no input '{tensor.name}'; {_listed('input', self._inputs.values())}")
            if tensor.name in arrays:
                _refuse(f"input '{tensor.name}' is given twice")
            if tensor.datatype != spec.datatype:
                _refuse(f"input '{tensor.name}' has datatype {tensor.datatype}; the model takes {spec.datatype}")
            if not _fits(tensor.array.shape, spec.shape):
                _refuse(f"input '{tensor.name}' has shape {list(tensor.shape)}; the model takes {list(spec.shape)}")
            arrays[tensor.name] = tensor.array
        if len(arrays) < len(self._inputs):
            self._check_missing(arrays)
        return arrays

    def outputs(self, requested: Sequence[RequestedOutput]) -> tuple[str, ...]:
        """The names asked for, in the order asked for; empty for all."""
        if not requested:
            return ()
        names = tuple(output.name for output in requested)
        for name in names:
            if name not in self._outputs:
                _refuse(f"the model has no output '{name}'; {_listed('output', self._outputs.values())}")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            _refuse(f"output '{twice}' is asked for twice")
        return names

    def answer(self, names: Sequence[str], arrays: dict[str, Array]) -> list[Tensor]:
        """The outputs as tensors, in the order asked for, else in the signature's."""
        if not names:
            return [Tensor(name, datatype, arrays[name]) for name, datatype in self._every]
        return [Tensor(name, self._outputs[name].datatype, arrays[name]) for name in names]

    def _check_missing(self, arrays: dict[str, Array]) -> None:
        missing = self._required - arrays.keys()
        for spec in self._inputs.values():
            if spec.name in missing:
                _refuse(f"input '{spec.name}' ({spec.datatype}, shape {list(spec.shape)}) is missing")


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    if len(shape) != len(wanted):
        return False
    for size, found in zip(wanted, shape, strict=True):  # noqa: SIM110 - a generator takes three times as long
        if size not in (found, -1):
            return False
    return True


def _listed(what: str, specs: Sequence[TensorSpec] | Any) -> str:
    names = ", ".join(f"'{spec.name}'" for spec in specs)
    return f"its {what}s are {names}" if names else f"it has no {what}s"


def _refuse(message: str) -> NoReturn:
    raise ServingError(Kind.INVALID, message)
