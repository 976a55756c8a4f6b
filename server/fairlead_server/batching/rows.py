"""Rule 1's first half: may the rows of requests be put together at all, by what the signature says?

The second half is measured (`runtimes.warm`): that rows alone equal rows together.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

# Names that converters make up, a new one for each tensor; they say "free" and nothing more.
MADE_UP = re.compile(r"unk__\d+")


def why_not(signature: Signature) -> str:
    """A sentence that says why rows cannot be batched; "" where one free leading dimension is shared.

    skl2onnx leaves the dimension without a name: it then counts as the shared one, and the
    measurement decides.
    """
    if not signature.inputs:
        return "the model has no inputs"
    named: dict[str, str] = {}
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if not spec.shape or spec.shape[0] != -1:
                return f"{kind} '{spec.name}' has no free leading dimension (shape {list(spec.shape)})"
            symbol = _symbol(spec)
            if symbol:
                named.setdefault(symbol, f"{kind} '{spec.name}'")
    if len(named) > 1:
        (a, first), (b, second) = list(named.items())[:2]
        return f"{first} and {second} have different leading dimensions ('{a}' and '{b}')"
    return ""


def leading_rows(inputs: Mapping[str, np.ndarray[Any, np.dtype[Any]]]) -> int:
    """The number of rows that all inputs have; INVALID when they differ."""
    rows = -1
    for name, array in inputs.items():
        size = array.shape[0] if array.ndim else -1
        if rows not in (-1, size):
            first = next(iter(inputs))
            raise ServingError(
                Kind.INVALID, f"inputs disagree on the number of rows: '{first}' {rows}, '{name}' {size}"
            )
        rows = size
    return rows


def shape_key(inputs: Mapping[str, np.ndarray[Any, np.dtype[Any]]]) -> Hashable:
    """Equal for requests whose inputs differ in nothing but their rows."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))


def fixed(signature: Signature) -> bool:
    """Whether all requests that fit the signature have the same `shape_key`."""
    return all(not spec.optional and -1 not in spec.shape[1:] for spec in signature.inputs)


def _symbol(spec: TensorSpec) -> str:
    symbol = spec.symbols[0] if spec.symbols else ""
    return "" if MADE_UP.fullmatch(symbol) else symbol
