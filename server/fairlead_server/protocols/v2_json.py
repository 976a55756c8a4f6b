"""The JSON form of tensors in the Open Inference Protocol.

Numbers are checked for kind and range against the datatype, never cast: 1.5, 300 and true are no
UINT8. Integers are exact to 64 bits. Floats are written as the shortest decimal of the equal
64-bit number, so they parse back to the same bits. NaN and the infinities are the strings "NaN",
"Infinity" and "-Infinity" in both directions, since JSON has no numbers for them.
Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
This module must not know HTTP, nor where binary tensors lie.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import msgspec
import numpy as np

from fairlead_server.errors import ServingError
from fairlead_server.protocols.faults import check_datatype, check_shape, invalid, quote, wrong_count
from fairlead_server.protocols.raw import Array, Buffer, fold, strings_array
from fairlead_server.tensors.array import NUMPY, Tensor

SPECIALS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_OPENING, _SPACES, _NULL = ord("["), b" \t\r\n", ord("n")
_FEW = 64  # values that are put into an array by struct: numpy's calls cost more than so few values do
FLOATS = frozenset(("FP16", "FP32", "FP64"))
PIECE = 2**14  # bytes of text, or elements, that are read or written in one go: some 0.3 ms
_SLAB = 2**20
_NO_MARKS = bytes(set(range(256)) - set(b"[],"))
_NARROW = {"FP32": "f", "FP16": "e"}


class InputDocument(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = msgspec.Raw()

    @property
    def raw(self) -> memoryview | None:
        """The text of its data, which is known to be JSON; None where there is none, or null."""
        raw = memoryview(self.data)
        return raw if len(raw) and raw[0] != _NULL else None


class OutputDocument(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class RequestDocument(msgspec.Struct):
    inputs: list[InputDocument]
    outputs: list[OutputDocument] | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


_ENCODER = msgspec.json.Encoder()
_REQUEST = msgspec.json.Decoder(RequestDocument)


def parse(text: Buffer) -> RequestDocument:
    """The document with every tensor's data still unparsed."""
    try:
        return _REQUEST.decode(text)
    except msgspec.ValidationError as error:
        return invalid(f"the request is not an inference request: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return invalid(
            f'the request body is not JSON: {error} (NaN and infinities are the strings "NaN", "Infinity", "-Infinity")'
        )


def decode_input(document: InputDocument) -> Tensor:
    """The tensor of an input whose data is in the JSON, flat or nested as its shape says."""
    name, datatype = document.name, check_datatype(document.name, document.datatype)
    shape, expected = check_shape(name, document.shape)
    raw = document.raw
    if raw is None:
        invalid(f"input {quote(name)} has no data")
    return decode_data(name, datatype, shape, expected, raw)


def decode_data(name: str, datatype: str, shape: tuple[int, ...], expected: int, raw: Buffer) -> Tensor:
    """The tensor of a JSON text that is its data. `shape` asks for `expected` elements; both were checked."""
    depth = _depth(name, raw, shape)
    if len(raw) > PIECE and datatype != "BYTES":
        array = _in_pieces(name, datatype, depth, shape, bytes(raw))
        return _checked(name, datatype, depth, shape, expected, array)
    values = _values(name, datatype, depth, raw)
    if depth == 1 and len(values) == expected <= _FEW and expected and datatype in _NARROW:
        return Tensor(name, datatype, _narrowed(name, datatype, shape, values))
    return _checked(name, datatype, depth, shape, expected, _array(name, datatype, values))


def _checked(name: str, datatype: str, depth: int, shape: tuple[int, ...], expected: int, array: Array) -> Tensor:
    if depth == 1:
        if array.size != expected:
            wrong_count(name, shape, expected, array.size)
    elif array.shape != shape[:depth]:
        invalid(f"input {quote(name)} has data of shape {list(array.shape)}; its shape says {list(shape)}")
    return Tensor(name, datatype, fold(name, shape, array))


def encode_data(tensor: Tensor) -> bytes:
    """The flat elements as JSON."""
    array = tensor.array.ravel()
    if array.size <= PIECE:
        return _text_of(tensor.datatype, array)
    cuts = range(0, array.size, PIECE)
    return b"[" + b",".join([_text_of(tensor.datatype, array[at : at + PIECE])[1:-1] for at in cuts]) + b"]"


def _text_of(datatype: str, array: Array) -> bytes:
    elements = _elements(datatype, array)
    text = _ENCODER.encode(elements)
    if datatype in FLOATS and b"n" in text:  # of the `null` that the writer makes of NaN and the infinities
        return _ENCODER.encode([_name(element) for element in elements])
    return text


def _elements(datatype: str, array: Array) -> list[Any]:
    elements: list[Any] = array.tolist()
    if datatype == "BYTES":
        return [element.decode("utf-8") if isinstance(element, bytes) else str(element) for element in elements]
    return elements


def _name(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _depth(name: str, raw: Buffer, shape: tuple[int, ...]) -> int:
    """How deep the data is nested: 1 (flat), or as deep as the shape (up to its first 0)."""
    if len(raw) > 1 and raw[0] == _OPENING != raw[1] and raw[1] not in _SPACES:
        return 1
    nested = shape.index(0) + 1 if 0 in shape else len(shape)
    depth = 0
    for byte in raw:
        if byte == _OPENING:
            depth += 1
        elif byte not in _SPACES:
            break
        if depth > nested + 1:
            break
    if depth == 0:
        invalid(f"the data of input {quote(name)} must be an array")
    if depth not in (1, nested):
        invalid(f"the data of input {quote(name)} must be flat, or nested as its shape {list(shape)} says")
    return depth


def _in_pieces(name: str, datatype: str, depth: int, shape: tuple[int, ...], raw: bytes) -> Array:
    """Piece by piece, so that a thread that reads much lets others run in between."""
    try:
        flat = raw if depth == 1 else _flat(raw, shape)
        array = np.concatenate([_array(name, datatype, _values(name, datatype, 1, piece)) for piece in pieces(flat)])
        return array if depth == 1 else fold(name, shape, array)
    except (ServingError, ValueError):  # not what its beginning looks like: the whole tells why
        return _array(name, datatype, _values(name, datatype, depth, raw))


def _flat(raw: bytes, shape: tuple[int, ...]) -> bytes:
    """Nested numbers without their nesting; ValueError where that is not the shape's."""
    if math.prod(max(size, 1) for size in shape) > len(raw):
        raise ValueError("the shape asks for more than there is")
    marks = b"".join([raw[at : at + _SLAB].translate(None, _NO_MARKS) for at in range(0, len(raw), _SLAB)])
    expected = b""
    for size in reversed(shape):
        expected = b"[" + b",".join([expected] * size) + b"]"
    if marks != expected:
        raise ValueError("nested in another way")
    return b"[" + b"".join([raw[at : at + _SLAB].translate(None, b"[]") for at in range(0, len(raw), _SLAB)]) + b"]"


def pieces(raw: bytes) -> Iterator[bytes]:
    """A JSON array of numbers as several arrays of a piece of its elements each. It has to be JSON; of one that holds
    more than numbers the pieces are none."""
    start, end = raw.index(b"[") + 1, raw.rindex(b"]")
    while start < end:
        cut = raw.find(b",", start + PIECE, end)
        cut = cut if cut >= 0 else end
        yield b"[" + raw[start:cut] + b"]"
        start = cut + 1


@functools.lru_cache(maxsize=512)
def _decoder(element: Any, depth: int) -> msgspec.json.Decoder[Any]:
    wanted: Any = element
    for _ in range(depth):
        wanted = list.__class_getitem__(wanted)
    return msgspec.json.Decoder(wanted)


_ELEMENT: dict[str, Any] = {
    name: {"O": str, "b": bool, "f": float}.get(dtype.kind, int) for name, dtype in NUMPY.items()
}


def _values(name: str, datatype: str, depth: int, raw: Buffer) -> list[Any]:
    element = _ELEMENT[datatype]
    try:
        return _decoder(element, depth).decode(raw)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        if element is not float or b'"' not in bytes(raw):
            return invalid(f"the data of input {quote(name)} does not fit {datatype}: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return invalid(f"the data of input {quote(name)} is not JSON: {error}")
    try:
        return _named(name, datatype, _decoder(float | str, depth).decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return invalid(f"the data of input {quote(name)} does not fit {datatype}: {error}")


def _named(name: str, datatype: str, values: list[Any]) -> list[Any]:
    """The values with the three named numbers in place of their names."""
    out: list[Any] = []
    for value in values:
        if isinstance(value, list):
            out.append(_named(name, datatype, value))
        elif isinstance(value, str):
            if value not in SPECIALS:
                invalid(f"the data of input {quote(name)} does not fit {datatype}: {quote(value)} is no number")
            out.append(SPECIALS[value])
        else:
            out.append(value)
    return out


def _array(name: str, datatype: str, values: list[Any]) -> Array:
    if datatype == "BYTES" and (not values or isinstance(values[0], str)):
        return strings_array(values)
    try:
        if datatype in ("FP16", "FP32"):
            return narrow(name, datatype, np.array(values, dtype=np.float64))
        return np.array(values, dtype=NUMPY[datatype])
    except OverflowError:
        _beyond(name, datatype)
    except ValueError:  # rows of different lengths
        return invalid(f"the data of input {quote(name)} is nested unevenly")


@functools.lru_cache(maxsize=2 * _FEW)
def _packer(code: str, count: int) -> Callable[..., bytes]:
    """Little endian, and with struct's own check: a finite number that would become infinite is an OverflowError."""
    return struct.Struct(f"<{count}{code}").pack


def _narrowed(name: str, datatype: str, shape: tuple[int, ...], values: list[float]) -> Array:
    """As `narrow` does it, for few values."""
    try:
        data = _packer(_NARROW[datatype], len(values))(*values)
    except OverflowError:
        _beyond(name, datatype)
    return np.ndarray(shape, NUMPY[datatype], data)


def _beyond(name: str, datatype: str) -> NoReturn:
    invalid(f"the data of input {quote(name)} has a number beyond the range of {datatype}")


def narrow(name: str, datatype: str, wide: Array) -> Array:
    """Rounded to the datatype; a finite number that would become infinite is refused."""
    with np.errstate(over="ignore", under="ignore"):
        array: Array = wide.astype(NUMPY[datatype])
    if np.isinf(array).sum() != np.isinf(wide).sum():
        _beyond(name, datatype)
    return array
