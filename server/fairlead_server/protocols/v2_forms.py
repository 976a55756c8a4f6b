"""Requests of one form are parsed once: what a client sends again and again differs in its tensors' bytes only.

The *form* of a message is all of it but the contents of `raw_input_contents`, which stand last, and of `id`. Protobuf
reads a message field by field, so two messages of one length that agree in all bytes of the form mean the same but for
those contents, whose places are the same too. A form is learned from a message that protobuf's own parser has read,
and by asking that parser where it may be cut; after that a message is compared, and not parsed.
Source: https://protobuf.dev/programming-guides/encoding/
What a form means is for its user: this module must not know tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

Meaning = TypeVar("Meaning")
Span = tuple[int, int]
Reads = Callable[[bytes], bool]

LENGTHS = 256  # lengths of messages whose forms are kept
ALIKE = 4  # forms of one length
LARGEST = 2048  # bytes of a form, so that all of them hold 2 MiB at most
RARELY = 8  # one message of so many that have no form teaches one: what never comes again costs little

_ID, _RAW = b"\x1a", b"\x3a"  # fields 3 and 7, length-delimited both


class Form(NamedTuple, Generic[Meaning]):
    """`pieces` are the bytes that agree, and where; `raw` and `id` are the places of what may differ."""

    pieces: tuple[tuple[int, bytes], ...]
    raw: tuple[Span, ...]
    id: Span | None
    meaning: Meaning


class Forms(Generic[Meaning]):
    """`reads` says of a message's first or last part whether it is a message itself, with neither id nor raw contents:
    then, and only then, a field begins where it ends, or ends where it begins."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._by_length: dict[int, tuple[Form[Meaning], ...]] = {}
        self._missed = 0

    def find(self, data: bytes) -> Form[Meaning] | None:
        for form in self._by_length.get(len(data), ()):
            for at, piece in form.pieces:
                if not data.startswith(piece, at):
                    break
            else:
                return form
        return None

    def missed(self, data: bytes, identity: str, raw: Sequence[bytes], meaning: Meaning) -> None:
        """`identity` and `raw` are what the parser found in it."""
        if self._missed % RARELY == 0:
            self._learn(data, identity, raw, meaning)
        self._missed += 1

    def _learn(self, data: bytes, identity: str, raw: Sequence[bytes], meaning: Meaning) -> None:
        spans, begin = _last(data, raw)
        cut = _where(data[:begin], identity, self._reads)
        if not spans or begin > LARGEST or cut is None:
            return
        free = [cut, *spans] if identity else spans
        begins = [0, *(end for _, end in free)]
        pieces = tuple((at, data[at:end]) for at, (end, _) in zip(begins, free, strict=False))
        if len(self._by_length) >= LENGTHS:
            self._by_length.clear()
        form = Form(pieces, tuple(spans), cut if identity else None, meaning)
        self._by_length[len(data)] = (form, *self._by_length.get(len(data), ())[: ALIKE - 1])


def _last(data: bytes, raw: Sequence[bytes]) -> tuple[list[Span], int]:
    """Where the raw contents lie if they stand last, one after the other, and where the first of them begins."""
    spans: list[Span] = []
    end = len(data)
    for content in reversed(raw):
        prefix = _RAW + varint(len(content))
        start = end - len(content)
        if not data.startswith(prefix, start - len(prefix)) or start < len(prefix):
            return [], 0
        spans.insert(0, (start, end))
        end = start - len(prefix)
    return spans, end


def _where(head: bytes, identity: str, reads: Reads) -> Span | None:
    """The place of the id's contents in the head; an empty place at its end where there is no id."""
    if not identity:
        return (len(head), len(head)) if reads(head) else None
    content = identity.encode()
    prefix = _ID + varint(len(content))
    at = head.find(prefix + content)
    start = at + len(prefix)
    end = start + len(content)
    return (start, end) if at >= 0 and reads(head[:at]) and reads(head[end:]) else None


def varint(number: int) -> bytes:
    """Base 128, least significant first."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
