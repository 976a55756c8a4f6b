"""The files of a local folder, as a version's content: regular files under plain relative names, nothing else.

A name or a link that could reach outside the folder is refused here, once, for every kind of source.
Links to files inside the folder count as the files they point to. Used by the fetcher and by the
watched folder of `serve --models`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Limits

ADDED_BY_CLIENTS = frozenset({"registered_model_meta"})  # MLflow's clients write it beside what they download


class LocalFile(NamedTuple):
    """`path` is relative, with slashes. The rest changes whenever the content does (but for those who forge it)."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def check_name(path: str) -> None:
    """Raise unless `path` names one place below a folder, and only there."""
    parts = path.split("/")
    if not all(parts) or "." in parts or ".." in parts:
        raise FetchFailure(f"the file name {path!r} does not stay inside the folder", retry=False)
    if not path.isprintable() or "\\" in path:  # sha256sum would write such a name in another form
        raise FetchFailure(f"the file name {path!r} holds a backslash or what cannot be shown: rename it", retry=False)


def list_folder(root: Path, limits: Limits) -> list[LocalFile]:
    """All files below `root`, sorted by name. Raises FetchFailure, or OSError when a folder cannot be read."""
    real = root.resolve(strict=True)
    found: list[LocalFile] = []
    for path, entry in _walk(real, limits.depth):
        if path in ADDED_BY_CLIENTS:
            continue
        check_name(path)
        found.append(_file(real, path, entry))
        if len(found) > limits.files:
            raise FetchFailure(f"holds more than {limits.files} files: this is no model's folder", retry=False)
    if not found:
        raise FetchFailure("holds no files", retry=False)
    return sorted(found)


def _walk(root: Path, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `root` that is not a folder, with its relative path."""
    folders = [""]
    while folders:
        folder = folders.pop()
        if folder.count("/") >= depth:
            raise FetchFailure(f"holds folders deeper than {depth} levels", retry=False)
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    yield path, entry


def _file(root: Path, path: str, entry: os.DirEntry[str]) -> LocalFile:
    if entry.is_symlink():
        _check_link(root, path)
    facts = entry.stat()
    if not stat.S_ISREG(facts.st_mode):
        what = "a link to a folder" if stat.S_ISDIR(facts.st_mode) else "neither a file nor a folder"
        raise FetchFailure(f"{path!r} is {what}: put the files themselves there", retry=False)
    return LocalFile(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _check_link(root: Path, path: str) -> None:
    try:
        target = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a ring of links, before Python 3.13
        raise FetchFailure(f"{path!r} is a link that leads nowhere", retry=False) from None
    if not target.is_relative_to(root):
        raise FetchFailure(f"{path!r} is a link that leaves the folder: put the file itself there", retry=False)
