"""The model cache on disk: whole, verified versions under their digest, and nothing else.

    ROOT/HEX/files/...      one version's files, read-only       appears by one rename, after fsync
    ROOT/HEX/record.json    size and time of each file then      its own time: when it was last named
    ROOT/tmp/XXXX/          a fetch under way, locked by it      unlocked: left by a crash, removed
    ROOT/locks/HEX          held while a version is fetched or evicted

Written by the fetcher only. This module must not know where files come from.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from fairlead_server.store import locks
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import FetchFailure, disk_full
from fairlead_server.store.limits import Limits
from fairlead_server.store.listing import LocalFile, list_folder

RESERVE = 32 * 2**20  # bytes left free for the journal and the stored catalog, which lie beside the cache
_TMP, _LOCKS, _FILES, _RECORD = "tmp", "locks", "files", "record.json"


class Stored(NamedTuple):
    """A version in the cache. `path` is the verified folder, `bytes` the size of its files."""

    path: Path
    digest: str
    bytes: int


class _Record(msgspec.Struct):
    files: list[LocalFile]


class Cache:
    """`volume`: bytes that the folder around the cache may hold, where the disk's free space does not tell it: beyond
    the size limit of its volume, a pod is evicted at once. 0: there is no such limit."""

    def __init__(self, root: Path, limits: Limits, volume: int = 0) -> None:
        self.root = root.absolute()
        self._limits = limits
        self._volume = volume
        self._turn = threading.Lock()
        self._promised: dict[Path, int] = {}  # bytes, to workplaces
        for folder in (self.root, self.root / _TMP, self.root / _LOCKS):
            folder.mkdir(parents=True, exist_ok=True)

    def look(self, digest: str) -> Stored | None:
        """`find`, at once: None also while somebody works on this version."""
        with contextlib.suppress(locks.Busy), locks.held(self._lock(digest)):
            return self.find(digest)
        return None

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """`key` is a digest, or anything else that two fetches should not work on at once."""
        try:
            with locks.held(self._lock(key), self._limits.lock_s):
                yield
        except locks.Busy:
            raise FetchFailure(
                f"another fetch of {key} did not end in {self._limits.lock_s:.0f} s", retry=True
            ) from None

    def find(self, digest: str) -> Stored | None:
        """The version, if it is here; the caller holds its lock.

        One whose files were touched since is read again, and dropped if it is damaged.
        """
        entry = self._entry(digest)
        try:
            record = msgspec.json.decode((entry / _RECORD).read_bytes(), type=_Record)
            files = list_folder(entry / _FILES, self._limits)
            if files != record.files and digest_folder(entry / _FILES, self._limits) != digest:
                raise ValueError("damaged")
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, FetchFailure, ValueError):
            self._drop(entry)
            return None
        os.utime(entry)
        return Stored(entry / _FILES, digest, sum(file.size for file in files))

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """An empty folder for a fetch. What is still there at the end, however it ends, is removed."""
        place = Path(tempfile.mkdtemp(dir=self.root / _TMP))
        try:
            with locks.held_folder(place):
                (place / _FILES).mkdir()
                yield place / _FILES
        finally:
            shutil.rmtree(place, ignore_errors=True)
            with self._turn:
                self._promised.pop(place, None)

    def room_for(self, files: Path, size: int) -> None:
        """Promise so many bytes more to the fetch that writes to `files`. Raises DiskFull."""
        with self._turn:
            free = self._free()
            if size + RESERVE > free:
                raise disk_full(f"{size} bytes are needed, {max(0, free - RESERVE)} are free at {self.root}")
            self._promised[files.parent] = self._promised.get(files.parent, 0) + size

    def keep(self, files: Path, digest: str) -> Stored:
        """Take over what a workplace holds, whose digest the caller has checked and locked."""
        listed = _make_durable(files, self._limits)
        (files.parent / _RECORD).write_bytes(msgspec.json.encode(_Record(listed)))
        _sync(files.parent / _RECORD)
        _sync(files.parent)
        entry = self._entry(digest)
        with self._turn:  # from here on it is counted as what it is
            self._promised.pop(files.parent, None)
            files.parent.rename(entry)
        _sync(self.root)
        return Stored(entry / _FILES, digest, sum(file.size for file in listed))

    def evict(self, named: Collection[str], limit: int, grace_s: float) -> int:
        """Drop versions that are not `named`, the longest unnamed first, until `limit` bytes hold all; how many.

        `grace_s`: one that was handed out or named so lately stays: its name may be on the way.
        """
        now = time.time()
        for digest in named:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._entry(digest))
        entries = sorted(self._entries(), key=lambda entry: entry.stat().st_mtime)
        sizes = {entry: _bytes(entry) for entry in entries}
        total, dropped = sum(sizes.values()), 0
        for entry in entries:
            if total <= limit:
                break
            if f"sha256:{entry.name}" in named or now - entry.stat().st_mtime < grace_s:
                continue
            if self._drop_unless_busy(entry):
                total -= sizes[entry]
                dropped += 1
        return dropped

    def clean(self) -> int:
        """Remove what crashes left behind; how many folders."""
        removed = 0
        for place in (self.root / _TMP).iterdir():
            with contextlib.suppress(locks.Busy, FileNotFoundError, NotADirectoryError), locks.held_folder(place):
                shutil.rmtree(place, ignore_errors=True)
                removed += 1
        return removed

    def _free(self) -> int:
        """Without what was promised and is not written yet. That first: what is written meanwhile counts twice."""
        coming = sum(max(0, size - _on_disk(place)) for place, size in self._promised.items())
        free = shutil.disk_usage(self.root).free
        if self._volume:
            free = min(free, self._volume - _on_disk(self.root.parent))
        return free - coming

    def _entry(self, digest: str) -> Path:
        return self.root / digest.removeprefix("sha256:")

    def _lock(self, key: str) -> Path:
        return self.root / _LOCKS / key.removeprefix("sha256:")

    def _entries(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.name not in (_TMP, _LOCKS)]

    def _drop_unless_busy(self, entry: Path) -> bool:
        try:
            with locks.held(self._lock(entry.name)):
                self._drop(entry)
        except locks.Busy:
            return False
        return True

    def _drop(self, entry: Path) -> None:
        """By a rename first, so that no half of it is ever seen under its digest."""
        grave = Path(tempfile.mkdtemp(dir=self.root / _TMP))
        with contextlib.suppress(FileNotFoundError):
            entry.rename(grave / entry.name)
        shutil.rmtree(grave, ignore_errors=True)


def _bytes(entry: Path) -> int:
    try:
        return sum(file.size for file in msgspec.json.decode((entry / _RECORD).read_bytes(), type=_Record).files)
    except (OSError, msgspec.DecodeError):
        return 0


def _on_disk(folder: Path) -> int:
    """In blocks, as the kubelet counts, or in bytes where the file system has yet to give them their blocks."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                facts = os.lstat(os.path.join(where, name))
                total += max(facts.st_size, facts.st_blocks * 512)
    return total


def _make_durable(files: Path, limits: Limits) -> list[LocalFile]:
    """Every file and folder on disk before the rename, and read-only: a cached version must not change."""
    listed = list_folder(files, limits)
    for file in listed:
        (files / file.path).chmod(0o444)
        _sync(files / file.path)
    for folder in {parent for file in listed for parent in (files / file.path).parents if parent.is_relative_to(files)}:
        _sync(folder)
    return listed


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
