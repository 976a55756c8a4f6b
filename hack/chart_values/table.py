"""The table of the chart's values, read from values.yaml: a key, its default, and the comment above it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_KEY = re.compile(r"^( *)([A-Za-z]\w*):(?: |$)")
_COMMENT = re.compile(r"^( *)# ?(.*)$")


@dataclass(frozen=True)
class Row:
    """One key; `default` is None for a key that only holds others."""

    path: tuple[str, ...]
    default: str | None
    meaning: str


def rows(text: str) -> list[Row]:
    """In the file's order. Raises ValueError for a key without a comment."""
    meanings = dict(_meanings(text))
    found = list(_walk(yaml.safe_load(text), (), meanings))
    bare = [".".join(row.path) for row in found if not row.meaning]
    if bare:
        raise ValueError(f"values.yaml: no comment above {', '.join(bare)}")
    return found


def table(found: list[Row]) -> str:
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for row in found:
        default = "" if row.default is None else f"`{row.default}`"
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{'.'.join(row.path)}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _meanings(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if said := _COMMENT.match(line):
            comment.append(said[2])
            continue
        if key := _KEY.match(line):
            indent = len(key[1])
            path = [*(part for part in path if part[0] < indent), (indent, key[2])]
            yield tuple(name for _, name in path), " ".join(comment)
        comment = []


def _walk(value: Any, path: tuple[str, ...], meanings: Mapping[tuple[str, ...], str]) -> Iterator[Row]:
    """A map is gone into where its keys have comments of their own."""
    for key, inner in value.items():
        place = (*path, key)
        goes_on = isinstance(inner, dict) and any(meanings.get((*place, below)) for below in inner)
        yield Row(place, None if goes_on else _flow(inner), meanings.get(place, ""))
        if goes_on:
            yield from _walk(inner, place, meanings)


def _flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
