"""Inputs for a model of which only the signature is known, and more rows for one whose example has few.

Deterministic. What is made up here may be nonsense to the model: it can show how long a run takes and that rows mix,
and must never condemn a version (rule 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.tensors.array import NUMPY

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = dict[str, Array]

# Sizes tried in turn for free dimensions other than the first: texts, small tables, images.
FREE_SIZES = (8, 32, 224, 1)


def inputs(signature: Signature, rows: int, free: int) -> Inputs:
    """Random inputs: `rows` for free leading dimensions, `free` for the others (also where names differ). What may be
    left out is."""
    random = np.random.default_rng(rows * 1009 + free)
    needed = [spec for spec in signature.inputs if not spec.optional]
    return {spec.name: _values(random, spec, _shape(spec, rows, free)) for spec in needed}


def like(signature: Signature, example: Mapping[str, Array], rows: int) -> Inputs:
    """Random inputs whose rows have the shape of an example's."""
    random = np.random.default_rng(rows)
    given = [spec for spec in signature.inputs if spec.name in example]
    return {spec.name: _values(random, spec, (rows, *example[spec.name].shape[1:])) for spec in given}


def varied(example: Mapping[str, Array], rows: int) -> Inputs:
    """`rows` rows made of an example's: its own, then the same changed a little, so that no two need be equal.

    Floats are scaled; integers only ever go towards zero, and text is left alone, for both may be looked up.
    """
    return {name: _vary(array, rows) for name, array in example.items()}


def repeated(pool: Mapping[str, Array], rows: int, start: int = 0) -> Inputs:
    """`rows` rows of `pool`, going round from row `start`."""
    return {
        name: np.ascontiguousarray(array[np.arange(start, start + rows) % len(array)]) for name, array in pool.items()
    }


def of_length(inputs: Mapping[str, Array], axes: Mapping[str, int], length: int) -> Inputs:
    """The same rows, cut or gone round again so that they have `length` along the axes given by input."""
    sized = {
        name: np.take(inputs[name], np.arange(length) % inputs[name].shape[axis], axis) for name, axis in axes.items()
    }
    return {**inputs, **sized}


def of_lengths(pool: Mapping[str, Array], axes: Mapping[str, int]) -> list[Inputs]:
    """The rows of `pool` one by one, of lengths that differ: from a third of their own to half as long again."""
    own = max(pool[name].shape[axis] for name, axis in axes.items())
    wanted = sorted({max(own * sixths // 6, 1) for sixths in (2, 3, 4, 5, 6, 9)} | {own, own + 1})
    rows = len(next(iter(pool.values())))
    return [
        of_length({name: array[at % rows : at % rows + 1] for name, array in pool.items()}, axes, length)
        for at, length in enumerate(wanted)
    ]


def rows_differ(pool: Mapping[str, Array]) -> bool:
    """Whether any input has two different rows: with equal rows only, mixing cannot be seen."""
    return any(not _equal(array[:1], array[at : at + 1]) for array in pool.values() for at in range(1, len(array)))


def _shape(spec: TensorSpec, rows: int, free: int) -> tuple[int, ...]:
    return tuple(size if size >= 0 else (rows if at == 0 else free) for at, size in enumerate(spec.shape))


def _values(random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    dtype = NUMPY[spec.datatype]
    if dtype.kind == "f":
        floats: Array = random.standard_normal(shape).astype(dtype)
        return floats
    numbers = random.integers(0, 2, size=shape)  # 0 and 1 are indexes, masks and token ids nearly everywhere
    if dtype.kind == "O":
        return numbers.astype(str).astype(object)
    return numbers.astype(dtype)


def _vary(array: Array, rows: int) -> Array:
    index = np.arange(rows)
    values: Array = array[index % len(array)]
    rounds = (index // len(array)).reshape((rows,) + (1,) * (array.ndim - 1))
    if array.dtype.kind == "f":
        values = values * (1.0 - 0.05 * (rounds % 16))
    elif array.dtype.kind in "iu":
        values = np.where(values > 0, values - np.minimum(values, rounds.astype(array.dtype)), values)
    return values.astype(array.dtype)


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
