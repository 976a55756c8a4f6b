"""Reads the little of an ONNX file that ONNX Runtime does not tell: which outputs a ZipMap makes, and its labels. And
takes the ZipMaps out of it.

A scan of ModelProto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), so that weights are skipped and never
read, and the server needs no `onnx` package.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from fairlead_server.runtimes.protobuf import (
    BYTES,
    VARINT,
    Span,
    fields,
    messages,
    signed,
    text,
    texts,
    varint,
    with_length,
    with_number,
)

# Field numbers of onnx.proto3.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_KIND, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_SIZE = 1, 1, 2, 1, 1
_FLOAT = 1  # TensorProto.FLOAT

REWRITTEN_LIMIT = 256 * 2**20  # bytes of a file that is copied to take something out; larger ones stay as they are

Labels = Mapping[str, tuple[str, ...]]


def zipmap_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Output name -> class labels in column order, for every ZipMap of the graph. Integers as decimal text.

    An unreadable file gives {}: ONNX Runtime says better what is wrong with it.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return dict(_zipmaps(data))
    except (OSError, ValueError, IndexError):
        return {}


def without_zipmaps(path: Path) -> bytes | None:
    """The model with an Identity in each ZipMap's place, whose output is the tensor [rows, classes] that the ZipMap
    would take apart into a dict for each row. None where there is no ZipMap, or anything about one is unusual: the file
    as it is gives the same answers, only later."""
    try:
        if path.stat().st_size > REWRITTEN_LIMIT:
            return None
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            labels = dict(_zipmaps(data))
            return _rewritten(data, labels) if labels else None
    except (OSError, ValueError, IndexError):
        return None


def _zipmaps(data: mmap.mmap) -> Iterator[tuple[str, tuple[str, ...]]]:
    for graph in messages(data, (0, len(data)), _MODEL_GRAPH):
        for node in messages(data, graph, _GRAPH_NODE):
            if _is_zipmap(data, node):
                attributes = list(messages(data, node, _NODE_ATTRIBUTE))
                labels = tuple(label for span in attributes for label in _labels(data, span))
                yield from ((name, labels) for name in texts(data, node, _NODE_OUTPUT))


def _is_zipmap(data: mmap.mmap, node: Span) -> bool:
    return texts(data, node, _NODE_OP_TYPE) == ["ZipMap"]


def _labels(data: mmap.mmap, attribute: Span) -> Iterator[str]:
    """An attribute's `strings` or `ints`; ints may be packed into one field or stand one by one."""
    for field in fields(data, attribute):
        if field.number == _ATTRIBUTE_STRINGS and field.kind == BYTES:
            yield text(data, field.span)
        elif field.number == _ATTRIBUTE_INTS and field.kind == VARINT:
            yield str(signed(field.value))
        elif field.number == _ATTRIBUTE_INTS and field.kind == BYTES:
            at = field.span[0]
            while at < field.span[1]:
                value, at = varint(data, at)
                yield str(signed(value))


def _rewritten(data: mmap.mmap, labels: Labels) -> bytes | None:
    """All fields in their order, those that change made anew. A ZipMap's output is used by nobody in its graph, or the
    user would now take a tensor for a sequence."""
    whole = (0, len(data))
    graphs = list(messages(data, whole, _MODEL_GRAPH))
    if len(graphs) != 1:  # parts of one message, which would have to be merged
        return None
    nodes = list(messages(data, graphs[0], _GRAPH_NODE))
    used = {name for node in nodes for name in texts(data, node, _NODE_INPUT)}
    given = [_name(data, value) for value in messages(data, graphs[0], _GRAPH_OUTPUT)]
    if used & labels.keys() or any(given.count(name) != 1 for name in labels):
        return None
    if not all(_usual(data, node, labels) for node in nodes if _is_zipmap(data, node)):
        return None
    graph = b"".join(_graph(data, graphs[0], labels))
    return b"".join(
        with_length(_MODEL_GRAPH, graph) if field.number == _MODEL_GRAPH else data[field.start : field.end]
        for field in fields(data, whole)
    )


def _graph(data: mmap.mmap, graph: Span, labels: Labels) -> Iterator[bytes]:
    for field in fields(data, graph):
        if field.number == _GRAPH_NODE and _is_zipmap(data, field.span):
            yield with_length(_GRAPH_NODE, _identity(data, field.span))
        elif field.number == _GRAPH_OUTPUT and _name(data, field.span) in labels:
            name = _name(data, field.span)
            yield with_length(_GRAPH_OUTPUT, _tensor(name, len(labels[name])))
        else:
            yield data[field.start : field.end]


def _usual(data: mmap.mmap, node: Span, labels: Labels) -> bool:
    """One input, one output, and labels that all differ: a dict would hold equal ones once."""
    taken, given = (texts(data, node, side) for side in (_NODE_INPUT, _NODE_OUTPUT))
    if len(taken) != 1 or len(given) != 1 or texts(data, node, _NODE_DOMAIN) != ["ai.onnx.ml"]:
        return False
    classes = labels[given[0]]
    return 0 < len(classes) == len(set(classes))


def _identity(data: mmap.mmap, node: Span) -> bytes:
    """With the ZipMap's input and output."""
    kept = (field for field in fields(data, node) if field.number in (_NODE_INPUT, _NODE_OUTPUT))
    return b"".join(data[field.start : field.end] for field in kept) + with_length(_NODE_OP_TYPE, b"Identity")


def _tensor(name: str, classes: int) -> bytes:
    """A ValueInfoProto: FLOAT, [rows, classes]."""
    rows, columns = b"", with_number(_DIM_SIZE, classes)
    shape = b"".join(with_length(_SHAPE_DIM, size) for size in (rows, columns))
    kind = with_number(_TENSOR_KIND, _FLOAT) + with_length(_TENSOR_SHAPE, shape)
    return with_length(_VALUE_NAME, name.encode()) + with_length(_VALUE_TYPE, with_length(_TYPE_TENSOR, kind))


def _name(data: mmap.mmap, value: Span) -> str:
    return "".join(texts(data, value, _VALUE_NAME))
