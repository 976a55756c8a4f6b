"""Writing files so that a crash leaves the old one or the new one, whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Files of one folder, one after the other: none is in place before those ahead of it. For each a temporary file
    beside it, fsync and rename; then one fsync of the folder for all, since a flush is what takes the time, and file
    systems keep the order of renames in a folder."""
    for path, data in files.items():
        new = path.with_name(f".{path.name}.new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
