"""JSON texts of one form are parsed once: what a client sends again and again differs in its tensors' values only.

The *form* of a text is what stands before and behind the data of its only input; where all data is binary, it is the
whole text. JSON is read from left to right, so two texts that agree before a value mean the same up to there, and if
they agree behind it too, they mean the same but for that value, as long as it is one value. A form is learned from a
text that was read and found good, and by reading the same text with another value in that place.
What a form means is for its user: this module must not know tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Meaning = TypeVar("Meaning")

FORMS = 1024  # kept; clients choose them, so both their number and their length have a bound
LARGEST = 2048  # bytes of one
RARELY = 8  # one text of so many that have no form teaches one: what never comes again costs little
PROBE = b"[7]"

_DATA = b'"data":'


class Form(NamedTuple, Generic[Meaning]):
    behind: bytes
    meaning: Meaning


class Forms(Generic[Meaning]):
    """`data_of` reads a text and gives the data of its only input as it stands there, or None."""

    def __init__(self, data_of: Callable[[bytes], bytes | None]) -> None:
        self._data_of = data_of
        self._by_start: dict[bytes, Form[Meaning]] = {}
        self._missed = 0

    def find(self, text: bytes) -> tuple[Meaning, bytes] | None:
        """What a text of a known form means, and what stands in the place of its data: one JSON value if the text is
        good, else anything."""
        at = text.find(_DATA) + len(_DATA)
        form = self._by_start.get(text[:at])
        if form is None:
            return None
        end = len(text) - len(form.behind)
        return (form.meaning, text[at:end]) if end >= at and text.endswith(form.behind) else None

    def find_whole(self, text: bytes) -> Meaning | None:
        form = self._by_start.get(text)
        return form.meaning if form is not None and not form.behind else None

    def wants_one(self) -> bool:
        """Asked for each text that has no form: whether `learn` should follow, once it was read."""
        self._missed += 1
        return self._missed % RARELY == 1

    def learn_whole(self, text: bytes, meaning: Meaning) -> None:
        """A text in which nothing may differ."""
        self._keep(text, b"", meaning)

    def learn(self, text: bytes, data: bytes, meaning: Meaning) -> None:
        """A text with this data of its only input."""
        at = text.find(_DATA) + len(_DATA)
        end = text.find(data, at) + len(data)
        start, behind = text[:at], text[end:]
        if end > at and not text[at : end - len(data)].strip() and self._data_of(start + PROBE + behind) == PROBE:
            self._keep(start, behind, meaning)

    def _keep(self, start: bytes, behind: bytes, meaning: Meaning) -> None:
        if len(start) + len(behind) > LARGEST:
            return
        if len(self._by_start) >= FORMS:
            del self._by_start[next(iter(self._by_start))]
        self._by_start[start] = Form(behind, meaning)
