"""The protobuf wire format, read in place and written in pieces: just as much as an ONNX file needs.

Source: https://protobuf.dev/programming-guides/encoding/. Messages are spans of a buffer; what nobody asks for is
skipped and never read. Damaged bytes raise ValueError or IndexError. Knows nothing of ONNX.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Buffer = mmap.mmap | bytes
Span = tuple[int, int]


class Field(NamedTuple):
    """`value` is the number if it is one, `span` where its bytes stand if it has some; the field itself, with its tag,
    is from `start` to `end`."""

    number: int
    kind: int
    value: int
    span: Span
    start: int
    end: int


def fields(data: Buffer, within: Span) -> Iterator[Field]:
    at, end = within
    while at < end:
        start = at
        tag, at = varint(data, at)
        kind, value, span = tag & 7, 0, (at, at)
        if kind == VARINT:
            value, at = varint(data, at)
        elif kind == BYTES:
            size, at = varint(data, at)
            span = (at, at + size)
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > end:
            raise ValueError("a field ends beyond its message")
        yield Field(tag >> 3, kind, value, span, start, at)


def messages(data: Buffer, within: Span, wanted: int) -> Iterator[Span]:
    """Also texts and bytes: all that has a length."""
    return (field.span for field in fields(data, within) if field.number == wanted and field.kind == BYTES)


def texts(data: Buffer, within: Span, wanted: int) -> list[str]:
    return [text(data, span) for span in messages(data, within, wanted)]


def varint(data: Buffer, at: int) -> tuple[int, int]:
    """The number, and where the next byte stands."""
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


def signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def text(data: Buffer, span: Span) -> str:
    return data[span[0] : span[1]].decode("utf-8", "replace")


def number(value: int) -> bytes:
    """A varint; not below 0."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def with_length(field: int, payload: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return number(field << 3 | BYTES) + number(len(payload)) + payload


def with_number(field: int, value: int) -> bytes:
    return number(field << 3 | VARINT) + number(value)
