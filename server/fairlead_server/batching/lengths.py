"""Rows that differ in length: filled up so that they share a run, and cut back to what each request brought.

    inputs --of--> lengths --key--> lane ... batch --together--> arrays of one shape --run--> outputs --own--> answers

Pure: arrays in, arrays out. What may be filled up is a setting (`padding`), whether it keeps the answers is measured
(`runtimes`), and which lengths meet in a lane is for `buckets` to say. This module must not know of queues.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fairlead_server.batching.buckets import Buckets
from fairlead_server.errors import Kind, ServingError

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]
Sizes = tuple[int, ...]  # one length for each group


class Fill(NamedTuple):
    """One input that is filled up with `value` along `axis`. Inputs of one `group` have one length in each request.
    `of` is the input that a mask belongs to ("" for what is no mask): it may be left out, and is then made."""

    name: str
    axis: int
    group: int
    value: float
    rank: int
    dtype: np.dtype[Any]
    of: str = ""


class Trim(NamedTuple):
    """The output `name` has the length of `group` along `axis`."""

    name: str
    axis: int
    group: int


class Together(NamedTuple):
    """A batch's inputs. `each` are the requests' own lengths, `filled` those of the arrays."""

    inputs: Inputs
    each: list[Sizes]
    filled: Sizes

    @property
    def changed(self) -> bool:
        return any(sizes != self.filled for sizes in self.each)


@dataclasses.dataclass(frozen=True)
class Lengths:
    """`multiples` by group: lengths are rounded up to them. With `sharing` off only equal lengths meet, and nothing is
    filled up. `plain` says that inputs differ in nothing but their rows and these lengths."""

    fills: tuple[Fill, ...]
    trims: tuple[Trim, ...]
    multiples: tuple[int, ...]
    plain: bool
    buckets: Buckets = dataclasses.field(default_factory=Buckets)
    sharing: bool = True

    @functools.cached_property
    def acts(self) -> bool:
        """Whether anything is ever filled up or made."""
        return self.sharing or any(fill.of for fill in self.fills)

    def of(self, inputs: Inputs) -> Sizes:
        """The request's length in each group. INVALID where one is missing, has a wrong rank, or disagrees with the
        others of its group."""
        found = [-1] * len(self.multiples)
        for name, axis, group, _, rank, _, of in self.fills:
            array = inputs.get(name)
            if array is None:
                if of:
                    continue
                raise _invalid(f"input '{name}' is missing")
            shape = array.shape
            if len(shape) != rank:
                raise _invalid(f"input '{name}' has {len(shape)} dimensions; the model takes {rank}")
            size = shape[axis]
            if found[group] != size:
                if found[group] != -1:
                    raise self._disagreement(inputs, group)
                found[group] = size
        return tuple(found)

    def key(self, inputs: Inputs) -> Hashable:
        """Equal for requests that may share a run. Raises what `of` raises."""
        sizes = self.of(inputs)
        if self.sharing:
            sizes = tuple(self.buckets.of(up(size, m)) for size, m in zip(sizes, self.multiples, strict=True))
        return sizes if self.plain else (sizes, self._inner(inputs))

    def longest(self, batch: Sequence[Inputs]) -> int:
        """The length that these run with; of several groups the longest."""
        return max(self._filled([self.of(inputs) for inputs in batch]))

    def together(self, batch: Sequence[Inputs]) -> Together:
        """One array for each input: joined where all lengths are equal already, else filled up to the longest. One
        request that needs nothing goes through as it is. Masks that are left out are made."""
        each = [self.of(inputs) for inputs in batch]
        filled = self._filled(each)
        inputs = {fill.name: _fill(fill, batch, each, filled[fill.group]) for fill in self.fills}
        for name in batch[0].keys() - inputs.keys():
            inputs[name] = batch[0][name] if len(batch) == 1 else np.concatenate([other[name] for other in batch])
        return Together(inputs, each, filled)

    def whole(self, inputs: Inputs) -> Inputs:
        """A request as it is, with the masks that it leaves out."""
        if all(fill.name in inputs for fill in self.fills):
            return inputs
        return {**inputs, **{f.name: _ones(f, inputs) for f in self.fills if f.of and f.name not in inputs}}

    def wrong(self, outputs: Mapping[str, Array], filled: Sizes) -> str:
        """A sentence on the first output that has not the length to be cut back from (rule 3); "" where all have."""
        for name, axis, group in self.trims:
            array = outputs.get(name)
            if array is not None and (array.ndim <= axis or array.shape[axis] != filled[group]):
                return f"output '{name}' has the shape {list(array.shape)}, and not {filled[group]} along {axis}"
        return ""

    def own(self, outputs: Mapping[str, Array], sizes: Sizes) -> dict[str, Array]:
        """One request's rows of the outputs, cut back to its own lengths: views."""
        own = dict(outputs)
        for name, axis, group in self.trims:
            if name in own:
                own[name] = own[name][(slice(None),) * axis + (slice(0, sizes[group]),)]
        return own

    def _filled(self, each: Sequence[Sizes]) -> Sizes:
        if not self.sharing:
            return each[0]
        return tuple(up(max(sizes), m) for sizes, m in zip(zip(*each, strict=True), self.multiples, strict=True))

    def _inner(self, inputs: Inputs) -> Hashable:
        """What must be equal beside the lengths. Masks follow the inputs that they belong to."""
        axes = {fill.name: fill for fill in self.fills}
        parts = []
        for name, array in sorted(inputs.items()):
            fill = axes.get(name)
            shape = array.shape if fill is None else array.shape[: fill.axis] + array.shape[fill.axis + 1 :]
            if fill is None or not fill.of:
                parts.append((name, array.dtype.str, shape[1:]))
        return tuple(parts)

    def _disagreement(self, inputs: Inputs, group: int) -> ServingError:
        fills = [fill for fill in self.fills if fill.group == group and fill.name in inputs]
        told = ", ".join(f"'{fill.name}' {inputs[fill.name].shape[fill.axis]}" for fill in fills[:4])
        return _invalid(f"inputs disagree on their length: {told}")


def up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _fill(fill: Fill, batch: Sequence[Inputs], each: Sequence[Sizes], target: int) -> Array:
    given = [inputs.get(fill.name) for inputs in batch]
    if all(array is not None and array.shape[fill.axis] == target for array in given):
        arrays = [array for array in given if array is not None]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    shaped = [inputs[fill.of or fill.name] for inputs in batch]  # as the input that a missing mask belongs to
    rows, like = [len(array) for array in shaped], shaped[0]
    shape = (sum(rows), *like.shape[1 : fill.axis], target, *like.shape[fill.axis + 1 :])
    out = np.full(shape, fill.value, fill.dtype if fill.of else like.dtype)
    before = (slice(None),) * (fill.axis - 1)
    start = 0
    for array, count, sizes in zip(given, rows, each, strict=True):
        out[(slice(start, start + count), *before, slice(sizes[fill.group]))] = 1 if array is None else array
        start += count
    return out


def _ones(fill: Fill, inputs: Inputs) -> Array:
    return np.ones(inputs[fill.of].shape, fill.dtype)


def _invalid(message: str) -> ServingError:
    return ServingError(Kind.INVALID, message)
