"""The seam between a fetch and the kinds of source: list the files, copy one of them, close."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class SourceFile(NamedTuple):
    """`path` is relative, with slashes, and not yet to be trusted. `size` in bytes, where the source tells it."""

    path: str
    size: int | None


class Source(Protocol):
    """Every method raises FetchFailure, or OSError when the machine itself refuses."""

    def files(self) -> Sequence[SourceFile]: ...

    def copy(self, file: SourceFile, to: Path) -> None:
        """Write one file to `to`, which does not exist yet (it may after a failed attempt)."""

    def close(self) -> None: ...
