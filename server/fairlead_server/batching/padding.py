"""The setting `padding` against a signature: what is filled up, by what, and which lengths belong together.

Every mistake is found here, before the model is run, and told with the words of the setting. Inputs whose padded
dimensions bear one name in the model file have one length in each request; so have an input and its mask.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from fairlead_server.batching.buckets import Buckets
from fairlead_server.batching.lengths import Fill, Lengths, Trim
from fairlead_server.batching.rows import MADE_UP
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import Padding, VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.tensors.array import NUMPY

Paddings = Mapping[str, Padding]


class PaddingFault(ValueError):
    """A setting that does not fit the model; the text says where and what to do."""


def lengths_of(signature: Signature, paddings: Paddings) -> Lengths | None:
    """Without padding set, the one length that the model's file names, if it does: told to whoever predicts how long a
    run takes, and never filled up. None where rows have no length. Raises PaddingFault."""
    if not paddings:
        return _named(signature)
    inputs = {spec.name: spec for spec in signature.inputs}
    for name, padding in paddings.items():
        _check_input(inputs, paddings, name, padding)
    _check_forgotten(signature, paddings)
    groups = _groups(inputs, paddings)
    fills = [
        Fill(name, padding.axis, groups[name], padding.value, len(inputs[name].shape), NUMPY[inputs[name].datatype])
        for name, padding in paddings.items()
    ]
    masks = {padding.mask: (name, padding.axis) for name, padding in paddings.items() if padding.mask}
    for mask, (name, axis) in masks.items():
        spec = inputs[mask]
        fills.append(Fill(mask, axis, groups[name], 0.0, len(spec.shape), NUMPY[spec.datatype], of=name))
    multiples = [1] * (max(groups.values()) + 1)
    for name, padding in paddings.items():
        multiples[groups[name]] = math.lcm(multiples[groups[name]], padding.multiple)
    trims = tuple(_trims(signature, paddings, groups))
    return Lengths(tuple(fills), trims, tuple(multiples), _plain(signature, fills))


def for_serving(signature: Signature, settings: VersionSettings, profile: Profile) -> Lengths | None:
    """As warm-up found it. Where filling up changes the answers, only equal lengths meet. Raises PaddingFault."""
    lengths = lengths_of(signature, settings.padding)
    if lengths is None:
        return None
    sharing = profile.padding and bool(settings.padding)
    buckets = Buckets(profile.length_step, max(profile.latency_by_length, default=0))
    return dataclasses.replace(lengths, sharing=sharing, buckets=buckets)


def with_optional_masks(signature: Signature, paddings: Paddings) -> Signature:
    """The signature as requests see it: a mask that can be made may be left out."""
    masks = {padding.mask for padding in paddings.values() if padding.mask}
    inputs = (msgspec.structs.replace(spec, optional=spec.optional or spec.name in masks) for spec in signature.inputs)
    return Signature(tuple(inputs), signature.outputs)


def _named(signature: Signature) -> Lengths | None:
    """The only free dimension beside the rows, by its name if several inputs have it."""
    free = [(spec, axis) for spec in signature.inputs for axis in range(1, len(spec.shape)) if spec.shape[axis] == -1]
    symbols = {_symbol(spec, axis) for spec, axis in free}
    if not free or len({spec.name for spec, _ in free}) < len(free) or len(symbols) > 1:
        return None
    if len(free) > 1 and "" in symbols:
        return None
    fills = tuple(Fill(spec.name, axis, 0, 0.0, len(spec.shape), NUMPY[spec.datatype]) for spec, axis in free)
    return Lengths(fills, (), (1,), _plain(signature, fills), sharing=False)


def _check_input(inputs: Mapping[str, TensorSpec], paddings: Paddings, name: str, padding: Padding) -> None:
    spec, axis = inputs.get(name), padding.axis
    if spec is None:
        raise _unknown(name, "input", inputs)
    if axis >= len(spec.shape):
        raise _fault(
            name, f"axis {axis} is beyond the input's {len(spec.shape)} dimensions; the first has the number 0"
        )
    if spec.shape[axis] != -1:
        raise _fault(
            name, f"axis {axis} is fixed at {spec.shape[axis]} by the model, so no length differs; take it out"
        )
    if not _holds(NUMPY[spec.datatype], padding.value):
        raise _fault(name, f"value {padding.value:g} is none that {spec.datatype} can hold; set one that it can")
    if padding.mask:
        _check_mask(inputs, paddings, name, padding)


def _check_mask(inputs: Mapping[str, TensorSpec], paddings: Paddings, name: str, padding: Padding) -> None:
    mask, spec = inputs.get(padding.mask), inputs[name]
    if mask is None:
        raise _unknown(name, "mask", inputs, padding.mask)
    if padding.mask in paddings:
        raise _fault(padding.mask, f"is the mask of '{name}' and is filled with 0 by itself; take its own entry out")
    if mask.datatype == "BYTES":
        raise _fault(name, f"the mask '{padding.mask}' holds text, and a mask holds 1 and 0")
    fits = len(mask.shape) == len(spec.shape) and mask.shape[padding.axis] == -1
    if not fits or any(-1 not in (a, b) and a != b for a, b in zip(mask.shape, spec.shape, strict=True)):
        wanted, found = list(spec.shape), list(mask.shape)
        raise _fault(name, f"the mask '{padding.mask}' has the shape {found}; it must have the input's, {wanted}")
    others = [p.axis for p in paddings.values() if p.mask == padding.mask]
    if len(set(others)) > 1:
        raise _fault(name, f"the mask '{padding.mask}' serves inputs of different axes; give one of them no mask")


def _check_forgotten(signature: Signature, paddings: Paddings) -> None:
    """An input that has the padded dimension by name and is not filled up could never share a run."""
    masks = {padding.mask for padding in paddings.values()}
    padded = {_symbol(spec, paddings[spec.name].axis): spec.name for spec in signature.inputs if spec.name in paddings}
    for spec in signature.inputs:
        if spec.name in paddings or spec.name in masks:
            continue
        for axis in range(1, len(spec.shape)):
            symbol = _symbol(spec, axis)
            if symbol and symbol in padded:
                message = (
                    f"input '{spec.name}' has the same dimension '{symbol}' and is not padded; give it an entry too"
                )
                raise _fault(padded[symbol], message)


def _groups(inputs: Mapping[str, TensorSpec], paddings: Paddings) -> dict[str, int]:
    """A number for each padded input: equal for a shared name of the dimension, and for a shared mask."""
    groups: list[tuple[set[str], list[str]]] = []  # what marks a group, and who is in it
    for name, padding in paddings.items():
        marks, names = {_symbol(inputs[name], padding.axis)}, [name]
        if padding.mask:
            marks |= {_symbol(inputs[padding.mask], padding.axis), f"mask {padding.mask}"}
        marks.discard("")
        for other in [group for group in groups if group[0] & marks]:
            groups.remove(other)
            marks, names = marks | other[0], other[1] + names
        groups.append((marks, names))
    return {name: number for number, (_, names) in enumerate(groups) for name in names}


def _trims(signature: Signature, paddings: Paddings, groups: Mapping[str, int]) -> Iterable[Trim]:
    outputs = {spec.name: spec for spec in signature.outputs}
    seen: dict[tuple[str, int], int] = {}
    for name, padding in paddings.items():
        for output, axis in padding.trim.items():
            spec = outputs.get(output)
            if spec is None:
                raise _unknown(name, "output in trim", outputs, output)
            if axis >= len(spec.shape):
                raise _fault(name, f"trim: axis {axis} is beyond the {len(spec.shape)} dimensions of output '{output}'")
            if spec.shape[axis] != -1:
                fixed = spec.shape[axis]
                raise _fault(name, f"trim: axis {axis} of output '{output}' is fixed at {fixed}; take it out of trim")
            if seen.setdefault((output, axis), groups[name]) != groups[name]:
                raise _fault(name, f"trim: axis {axis} of output '{output}' is claimed for two different lengths")
    return (Trim(output, axis, group) for (output, axis), group in seen.items())


def _plain(signature: Signature, fills: Iterable[Fill]) -> bool:
    axes = {fill.name: fill.axis for fill in fills}
    free = (
        (spec.name, axis) for spec in signature.inputs for axis in range(1, len(spec.shape)) if spec.shape[axis] == -1
    )
    needed = all(spec.name in axes or not spec.optional for spec in signature.inputs)
    return needed and all(axes.get(name) == axis for name, axis in free)


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind == "b":
        return value in (0.0, 1.0)
    if dtype.kind in "iu":
        return value.is_integer() and np.iinfo(dtype).min <= int(value) <= np.iinfo(dtype).max
    return dtype.kind == "f" and abs(value) <= float(np.finfo(dtype).max)


def _symbol(spec: TensorSpec, axis: int) -> str:
    symbol = spec.symbols[axis] if spec.symbols else ""
    return "" if MADE_UP.fullmatch(symbol) else symbol


def _unknown(name: str, what: str, known: Mapping[str, TensorSpec], missing: str = "") -> PaddingFault:
    listed = ", ".join(f"'{other}'" for other in known) or "none"
    kind = "output" if what.startswith("output") else "input"
    return _fault(name, f"the {what} '{missing or name}' is none of the model's; its {kind}s are {listed}")


def _fault(name: str, message: str) -> PaddingFault:
    return PaddingFault(f"padding of '{name}': {message}")
