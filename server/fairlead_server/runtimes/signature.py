"""A version's signature: what the session says, narrowed by what MLflow was told.

The session's names and types are the truth. MLmodel may only fix a size that the session leaves free, or give the
shape of a tensor whose rank the session does not know; a logged signature that names other tensors (the columns of a
table that goes in as one matrix) is passed over. Pure: no ONNX Runtime here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fairlead_server.batching.padding import PaddingFault, Paddings, lengths_of, with_optional_masks
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.runtimes import LoadFailure
from fairlead_server.runtimes.mlmodel import LoggedTensor, MLmodel

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_FLOAT = "tensor(float)"
_ZIPMAP = re.compile(r"seq\(map\((?:string|int64),tensor\(float\)\)\)")


class Argument(NamedTuple):
    """An input or output as ONNX Runtime tells it: sizes are numbers, names or None. A scalar and a tensor of
    unknown rank both have the shape []."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def build(
    inputs: Sequence[Argument],
    outputs: Sequence[Argument],
    labels: Mapping[str, tuple[str, ...]],
    logged: MLmodel | None,
) -> Signature:
    """`labels` are those of the outputs that a ZipMap makes, or would make. LoadFailure for what cannot be served."""
    takes = tuple(_spec("input", argument, {}) for argument in inputs)
    gives = tuple(_spec("output", argument, labels) for argument in outputs)
    if logged is None:
        return Signature(takes, gives)
    return Signature(_narrowed(takes, logged.inputs), _narrowed(gives, logged.outputs))


def for_requests(told: Signature, paddings: Paddings) -> Signature:
    """As requests see it: a mask that can be made may be left out. LoadFailure for padding that does not fit."""
    try:
        lengths_of(told, paddings)
    except PaddingFault as fault:
        raise LoadFailure(str(fault)) from fault
    return with_optional_masks(told, paddings)


def _spec(kind: str, argument: Argument, labels: Mapping[str, tuple[str, ...]]) -> TensorSpec:
    if argument.name in labels and (argument.type == _FLOAT or _ZIPMAP.fullmatch(argument.type)):
        classes = labels[argument.name]
        return TensorSpec(argument.name, "FP32", (-1, len(classes)), labels=classes)
    datatype = _DATATYPES.get(argument.type)
    if datatype is None:
        raise LoadFailure(_refused(kind, argument))
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape)
    symbols = tuple(size if isinstance(size, str) else "" for size in argument.shape)
    return TensorSpec(argument.name, datatype, shape, symbols if any(symbols) else ())


def _refused(kind: str, argument: Argument) -> str:
    what = f"{kind} '{argument.name}' is of type {argument.type}"
    if argument.type.startswith("tensor("):
        return f"{what}, which the inference protocol cannot carry; cast it to another datatype inside the model"
    if _ZIPMAP.fullmatch(argument.type):
        return f"{what} and not made by a ZipMap; convert with options={{'zipmap': False}} so that it is a tensor"
    return f"{what}, and only tensors can be served; export the model so that its {kind}s are tensors"


def _narrowed(specs: tuple[TensorSpec, ...], logged: Sequence[LoggedTensor]) -> tuple[TensorSpec, ...]:
    if len(specs) == len(logged) == 1 and not logged[0].name:
        return (_narrow(specs[0], logged[0].shape),)
    shapes = {tensor.name: tensor.shape for tensor in logged}
    if not set(shapes) <= {spec.name for spec in specs}:
        return specs
    return tuple(_narrow(spec, shapes.get(spec.name)) for spec in specs)


def _narrow(spec: TensorSpec, logged: tuple[int, ...] | None) -> TensorSpec:
    if logged is None or spec.labels:
        return spec
    if not spec.shape:
        return TensorSpec(spec.name, spec.datatype, logged)
    fits = len(logged) == len(spec.shape) and all(
        a in (-1, b) or b == -1 for a, b in zip(spec.shape, logged, strict=True)
    )
    if not fits:
        return spec
    shape = tuple(b if a == -1 else a for a, b in zip(spec.shape, logged, strict=True))
    return TensorSpec(spec.name, spec.datatype, shape, spec.symbols)
