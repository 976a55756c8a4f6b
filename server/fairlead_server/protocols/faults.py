"""The refusals that all codecs share, so that one fault reads the same over every protocol.

Every function either returns the checked value or raises ServingError with a sentence that names
the tensor. This module must not know any encoding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fairlead_server.errors import Kind, ServingError
from fairlead_server.tensors.datatypes import DATATYPES, SIZES

MAX_RANK = 32
MAX_TENSORS = 1024  # inputs of a request; outputs that it asks for
MAX_VALUES = 2 * 2**20  # of a request, decoded one by one
_LONGEST_QUOTE = 120  # characters of a client's own text that an error repeats
_FEATURES = {
    "shared_memory_region": "shared memory is not supported: send the data in the request",
    "classification": "the classification extension is not supported: ask for the plain output",
    "sequence_id": "sequences are not supported: leave sequence_id out",
}


def quote(text: str) -> str:
    """A client's text, short enough for an error message."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "...")


def invalid(message: str) -> NoReturn:
    raise ServingError(Kind.INVALID, message)


def check_datatype(name: str, datatype: str) -> str:
    if datatype in SIZES:
        return datatype
    if datatype == "BF16":
        raise ServingError(Kind.UNSUPPORTED, f"input {quote(name)} is BF16, which is not supported: send FP32")
    return invalid(f"input {quote(name)} has the unknown datatype {quote(datatype)}: use one of {', '.join(DATATYPES)}")


def check_shape(name: str, shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The shape, and how many elements it asks for."""
    if len(shape) > MAX_RANK:
        invalid(f"input {quote(name)} has {len(shape)} dimensions: at most {MAX_RANK} are allowed")
    if shape and (min(shape) < 0 or max(shape) >= 2**63):
        invalid(f"input {quote(name)} has a dimension that is negative or too large in its shape {list(shape)[:8]}")
    return tuple(shape), math.prod(shape)


def check_features(what: str, parameters: Mapping[str, Any]) -> None:
    """Refuses extensions that would change the answer if they were passed over in silence."""
    if not parameters or _FEATURES.keys().isdisjoint(parameters):
        return
    for name, advice in _FEATURES.items():
        if parameters.get(name):
            raise ServingError(Kind.UNSUPPORTED, f"{what}: {advice}")


class Ration:
    """How many values of one request may still be decoded one by one: those of JSON, of typed contents, and strings.

    Each takes up to a microsecond of the loop that all other requests wait for too (measured: 64 MiB of `[0],` took
    17 s, and after 10 a worker counts as stuck), so they are counted before. Raw numbers cost nothing.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise ServingError(
                Kind.TOO_LARGE,
                f"the request has more than {MAX_VALUES} values that are read one by one: send numbers as raw binary "
                "data, and many strings in several requests",
            )


def check_answer(values: int, advice: str) -> None:
    """`values` of an answer would be written one by one, which costs the loop as much as reading them."""
    if values > MAX_VALUES:
        raise ServingError(
            Kind.TOO_LARGE,
            f"the answer has {values} values that are written one by one, over the limit of {MAX_VALUES}: {advice}",
        )


def check_tensors(what: str, number: int) -> None:
    if number > MAX_TENSORS:
        raise ServingError(Kind.TOO_LARGE, f"the request names {number} {what}: at most {MAX_TENSORS} are allowed")


def wrong_count(name: str, shape: Sequence[int], expected: int, found: int) -> NoReturn:
    invalid(f"input {quote(name)} has {found} elements; its shape {list(shape)} asks for {expected}")
