"""A folder or a single file on this machine. Copied, never used in place: what is loaded must not change afterwards.

The kernel copies (and shares the blocks where the file system can), so a copy of a large model is cheap
on the file systems that matter. A file that changes while it is copied is noticed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fairlead_server.store.failure import NO_ROOM, FetchFailure, from_os
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.listing import LocalFile, list_folder
from fairlead_server.store.source import SourceFile

_PIECE = 64 * 2**20


class LocalSource:
    def __init__(self, path: Path, limits: Limits, deadline: Deadline) -> None:
        self._limits = limits
        self._deadline = deadline
        self._name = path.name  # of a single file, as it was asked for: the link's name, not its target's
        self._listed: dict[str, LocalFile] = {}
        try:
            self._root = path.resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            raise FetchFailure(f"{path} does not exist on this machine", retry=False) from None
        except (OSError, RuntimeError) as error:
            raise FetchFailure(f"{path} cannot be reached: {error}", retry=True) from None

    def files(self) -> list[SourceFile]:
        try:
            self._listed = self._list()
        except FetchFailure as failure:
            raise FetchFailure(f"{self._root}: {failure.reason}", retry=failure.retry) from None
        except OSError as error:
            raise from_os(error, f"listing {self._root}") from error
        return [SourceFile(path, file.size) for path, file in self._listed.items()]

    def copy(self, file: SourceFile, to: Path) -> None:
        try:
            changed = self._copy(self._listed[file.path], to)
        except FileNotFoundError:
            changed = True
        except OSError as error:
            raise from_os(error, f"copying {file.path!r} of {self._root}") from error
        if changed:
            raise FetchFailure(f"{self._root}: {file.path!r} changed while it was copied", retry=True)

    def close(self) -> None:
        pass

    def _list(self) -> dict[str, LocalFile]:
        if self._root.is_dir():
            return {file.path: file for file in list_folder(self._root, self._limits)}
        facts = self._root.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise FetchFailure("is neither a folder nor a file", retry=False)
        name, self._root = self._root.name, self._root.parent
        return {self._name: LocalFile(name, facts.st_size, facts.st_mtime_ns, facts.st_ino)}

    def _copy(self, listed: LocalFile, to: Path) -> bool:
        """Whether the file is not what was listed, or no longer. O_NONBLOCK: a pipe put there must not hold us."""
        source = os.open(self._root / listed.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            with to.open("wb") as target:
                if _facts(source) != listed[1:]:
                    return True
                self._pour(source, target.fileno(), listed.size)
            return _facts(source) != listed[1:] or to.stat().st_size != listed.size
        finally:
            os.close(source)

    def _pour(self, source: int, target: int, size: int) -> None:
        left = size
        while left > 0:
            self._deadline.check()
            taken = _kernel_copy(source, target, min(left, _PIECE))
            if not taken:  # not between these two file systems, or the file became shorter
                taken = _write_all(target, os.read(source, min(left, 2**20)))
            if not taken:
                return
            left -= taken


def _kernel_copy(source: int, target: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return 0  # the ordinary way will tell


def _write_all(target: int, data: bytes) -> int:
    done = 0
    while done < len(data):
        done += os.write(target, data[done:])
    return done


def _facts(file: int) -> tuple[int, int, int]:
    facts = os.fstat(file)
    return facts.st_size, facts.st_mtime_ns, facts.st_ino
