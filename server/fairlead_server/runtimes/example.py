"""A logged input example, as MLflow 3.17 writes it to input_example.json, as the model's input arrays.

    array                  [[0.0, 5.0], ...]
    dict of arrays         {"a": [[...]], "b": [[...]]}
    DataFrame              {"columns": ["age", "name"], "data": [[1.5, "a"], ...]}
    either, for serving    {"inputs": ...}, {"dataframe_split": ...}

A NaN is written as null. Anything that does not fit the signature gives None: an example that cannot be understood
must not condemn a version.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.tensors.array import NUMPY

Array = np.ndarray[Any, np.dtype[Any]]


def to_inputs(example: Any, signature: Signature) -> dict[str, Array] | None:
    """The example as arrays by input name, or None where it does not fit."""
    try:
        return _to_inputs(example, signature.inputs)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _to_inputs(example: Any, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    if isinstance(example, dict):
        for wrapped in ("inputs", "dataframe_split"):
            if set(example) == {wrapped} and wrapped not in {spec.name for spec in specs}:
                return _to_inputs(example[wrapped], specs)
        if set(example) >= {"columns", "data"} and isinstance(example["data"], list):
            return _from_table([str(name) for name in example["columns"]], example["data"], specs)
        given = [spec for spec in specs if spec.name in example or not spec.optional]
        return {spec.name: _array(example[spec.name], spec) for spec in given}
    specs = tuple(spec for spec in specs if not spec.optional)
    if len(specs) != 1:
        raise ValueError("one array for several inputs")
    return {specs[0].name: _array(example, specs[0])}


def _from_table(columns: list[str], rows: list[list[Any]], specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Each input takes its own column, as skl2onnx pipelines want it; a single input takes the whole table."""
    by_name = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
    if all(spec.name in by_name for spec in specs):
        return {spec.name: _array(by_name[spec.name], spec) for spec in specs}
    if len(specs) != 1:
        raise ValueError("columns that are no inputs")
    return {specs[0].name: _array(rows, specs[0])}


def _array(values: Any, spec: TensorSpec) -> Array:
    """Of the input's datatype and rank; one axis of size 1 may be added at either end."""
    array = _text(values) if spec.datatype == "BYTES" else _numbers(values, NUMPY[spec.datatype])
    if array.ndim + 1 == len(spec.shape):
        array = array[..., np.newaxis] if spec.shape[-1] in (1, -1) and array.ndim == 1 else array[np.newaxis]
    sizes = zip(array.shape, spec.shape, strict=True)
    if not array.size or any(wanted not in (-1, size) for size, wanted in sizes):
        raise ValueError("another shape")
    return np.ascontiguousarray(array)


def _text(values: Any) -> Array:
    array = np.array(values, dtype=object)
    if not all(isinstance(item, str) for item in array.flat):
        raise TypeError("not all text")
    return array


def _numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        array: Array = np.array(values, dtype=np.float64)  # null becomes NaN
        return array.astype(dtype)
    exact: Array = np.array(values)
    cast = exact.astype(dtype)
    if exact.dtype.kind not in "biuf" or not np.array_equal(cast, exact):
        raise ValueError("not of the datatype")
    return cast
