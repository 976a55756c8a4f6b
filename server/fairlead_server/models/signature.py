"""What a version takes and gives: names, datatypes, shapes."""

from __future__ import annotations

import msgspec


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output.

    `shape` holds -1 where any size is allowed. `symbols` (same length, or empty) names the free
    dimensions as the model file does ("" where it has no name): rows may be batched only along a
    leading dimension that all inputs and outputs share by name.
    `labels` are the class labels of an output that was a ZipMap.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    symbols: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    optional: bool = False


class Signature(msgspec.Struct, frozen=True):
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
