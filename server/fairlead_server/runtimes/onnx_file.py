"""Reads the little of an ONNX file that ONNX Runtime does not tell: which outputs a ZipMap makes, and its labels.

A scan of the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) over ModelProto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), so that weights are skipped and never read, and the
server needs no `onnx` package.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

# Field numbers of onnx.proto3.
_MODEL_GRAPH = 7
_GRAPH_NODE = 1
_NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 2, 4, 5
_ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 8, 9

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]


def zipmap_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Output name -> class labels in column order, for every ZipMap of the graph. Integers as decimal text.

    An unreadable file gives {}: ONNX Runtime says better what is wrong with it.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return dict(_zipmaps(data))
    except (OSError, ValueError, IndexError):
        return {}


def _zipmaps(data: mmap.mmap) -> Iterator[tuple[str, tuple[str, ...]]]:
    for graph in _messages(data, (0, len(data)), _MODEL_GRAPH):
        for node in _messages(data, graph, _GRAPH_NODE):
            if [_text(data, span) for span in _messages(data, node, _NODE_OP_TYPE)] == ["ZipMap"]:
                attributes = list(_messages(data, node, _NODE_ATTRIBUTE))
                labels = tuple(label for span in attributes for label in _labels(data, span))
                yield from ((_text(data, span), labels) for span in _messages(data, node, _NODE_OUTPUT))


def _labels(data: mmap.mmap, attribute: Span) -> Iterator[str]:
    """An attribute's `strings` or `ints`; ints may be packed into one field or stand one by one."""
    for field, kind, value, span in _fields(data, attribute):
        if field == _ATTRIBUTE_STRINGS and kind == _BYTES:
            yield _text(data, span)
        elif field == _ATTRIBUTE_INTS and kind == _VARINT:
            yield str(_signed(value))
        elif field == _ATTRIBUTE_INTS and kind == _BYTES:
            at = span[0]
            while at < span[1]:
                number, at = _varint(data, at)
                yield str(_signed(number))


def _messages(data: mmap.mmap, within: Span, wanted: int) -> Iterator[Span]:
    return (span for field, kind, _, span in _fields(data, within) if field == wanted and kind == _BYTES)


def _fields(data: mmap.mmap, within: Span) -> Iterator[tuple[int, int, int, Span]]:
    """(field number, wire type, the number if it is one, where its bytes stand)."""
    at, end = within
    while at < end:
        tag, at = _varint(data, at)
        kind, value, span = tag & 7, 0, (at, at)
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            span = (at, at + size)
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > end:
            raise ValueError("a field ends beyond its message")
        yield tag >> 3, kind, value, span


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(data: mmap.mmap, span: Span) -> str:
    return data[span[0] : span[1]].decode("utf-8", "replace")
