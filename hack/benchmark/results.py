"""The document that one run leaves: results.json, which the report and the picture are made from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmark.figures import Row
from benchmark.subject import Role

FILE = "results.json"


class Described(msgspec.Struct, frozen=True):
    """A subject as the report tells it."""

    name: str
    role: Role
    settings: str


class Results(msgspec.Struct, frozen=True):
    """`run` and `machine` are told as they are, in their order; `failures` were asked for and not measured."""

    date: str
    run: dict[str, str]
    machine: dict[str, str]
    subjects: tuple[Described, ...]
    rows: tuple[Row, ...]
    failures: tuple[str, ...] = ()


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(folder: Path) -> Results:
    """Raises FileNotFoundError, and msgspec.DecodeError for what is no such document."""
    return msgspec.json.decode((folder / FILE).read_bytes(), type=Results)
