"""A named array. The only shape in which tensor data crosses a room."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}


class Tensor(msgspec.Struct, eq=False):
    """`array` has the wanted shape and the dtype of NUMPY[datatype]; BYTES arrays hold `str` when the
    bytes were UTF-8, which is all that a model sees. It may be a read-only view of a request's buffer."""

    name: str
    datatype: str
    array: np.ndarray[Any, np.dtype[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.array.shape
        return shape
