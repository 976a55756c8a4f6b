"""Raw tensor bytes <-> arrays: the form that gRPC and the binary tensor extension share.

Elements lie row-major and little endian. BYTES elements are each a length (four bytes, little
endian) and that many bytes, which here must be UTF-8.
Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
This module must not know where in a request the bytes were.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np

from fairlead_server.protocols.faults import Ration, invalid, quote, wrong_count
from fairlead_server.tensors.array import NUMPY, Tensor
from fairlead_server.tensors.datatypes import SIZES

Buffer = bytes | memoryview
Array = np.ndarray[Any, np.dtype[Any]]

_LENGTH = struct.Struct("<I")
_COPIED_BYTES = 16 * 1024  # so many are copied in less time than a view of them takes to make
assert sys.byteorder == "little", "raw tensors are little endian, and so must the machine be"


def decode_raw(name: str, datatype: str, shape: tuple[int, ...], expected: int, data: Buffer, ration: Ration) -> Tensor:
    """A tensor over `data`, without a copy where its elements are aligned. `shape` asks for `expected` elements."""
    if datatype == "BYTES":
        ration.take(min(expected, len(data) // _LENGTH.size))
        return Tensor(name, datatype, fold(name, shape, _split_strings(name, shape, expected, data)))
    size = SIZES[datatype] or 1
    if len(data) != expected * size:
        invalid(
            f"input {quote(name)} has {len(data)} bytes of data; its shape {list(shape)} and datatype {datatype} "
            f"ask for {expected * size}"
        )
    if not expected:
        return Tensor(name, datatype, fold(name, shape, np.empty(0, NUMPY[datatype])))
    array: Array = np.ndarray(shape, NUMPY[datatype], data)
    if not array.flags.aligned:
        array = array.copy()
    if datatype == "BOOL" and array.view(np.uint8).max() > 1:
        invalid(f"input {quote(name)} is BOOL and has bytes other than 0 and 1")
    return Tensor(name, datatype, array)


def encode_raw(tensor: Tensor) -> Buffer:
    """The tensor's bytes: a copy where that is cheaper, else a view of its memory where that is contiguous (so nobody
    may write it again)."""
    if tensor.datatype == "BYTES":
        return _join_strings(tensor.array)
    if tensor.array.nbytes <= _COPIED_BYTES:
        return tensor.array.tobytes()
    return np.ascontiguousarray(tensor.array).reshape(-1).view(np.uint8).data


def fold(name: str, shape: tuple[int, ...], flat: Array) -> Array:
    """The flat elements in their shape; the count is known to fit."""
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError):  # beside a 0 dimension the others may be of any size
        return invalid(f"input {quote(name)} has a shape that is too large: {list(shape)}")


def utf8(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return invalid(f"input {quote(name)} has a BYTES element that is not UTF-8")


def _split_strings(name: str, shape: tuple[int, ...], expected: int, data: Buffer) -> Array:
    view = bytes(data)
    end, at = len(view), 0
    strings: list[str] = []
    while at < end:
        if end - at < _LENGTH.size:
            invalid(f"input {quote(name)} ends inside the length of its BYTES element {len(strings)}")
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        if length > end - at:
            invalid(
                f"input {quote(name)} says {length} bytes for its BYTES element {len(strings)}; {end - at} are left"
            )
        if len(strings) == expected:
            wrong_count(name, shape, expected, expected + 1)
        strings.append(utf8(name, view[at : at + length]))
        at += length
    if len(strings) != expected:
        wrong_count(name, shape, expected, len(strings))
    return strings_array(strings)


def strings_array(strings: list[str]) -> Array:
    array = np.empty(len(strings), dtype=object)
    array[:] = strings
    return array


def _join_strings(array: Array) -> bytes:
    parts: list[bytes] = []
    for element in array.reshape(-1).tolist():
        data = element if isinstance(element, bytes) else str(element).encode("utf-8")
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)
