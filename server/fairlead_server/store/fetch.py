"""One fetch, from the source's URI to a verified folder in the cache.

    look in the cache -> list -> check names and room -> copy -> digest -> compare with the pin -> keep

A pinned version that is in the cache is served from there with its source not so much as asked: running
replicas go on when an artifact is gone. The digest is taken from what was written here, so that what was
checked is what will be loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from fairlead_server.store.cache import Cache, Stored
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import DISK_FULL, FetchFailure, from_os
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.listing import ADDED_BY_CLIENTS, check_name
from fairlead_server.store.source import Source, SourceFile
from fairlead_server.store.sources import open_source


def fetch(cache: Cache, uri: str, pinned: str | None, limits: Limits, make_room: Callable[[], bool]) -> Stored:
    """Raises FetchFailure. `make_room` evicts what it may when the disk is full, and says whether that helped."""
    try:
        with cache.locked(pinned or f"source-{hashlib.sha256(uri.encode()).hexdigest()}"):
            stored = cache.find(pinned) if pinned else None
            return stored or _with_room(lambda: _copy_in(cache, uri, pinned, limits), make_room)
    except OSError as error:
        raise from_os(error, f"writing to the model cache at {cache.root}") from error


def _with_room(once: Callable[[], Stored], make_room: Callable[[], bool]) -> Stored:
    try:
        return _told(once)
    except FetchFailure as failure:
        if failure.condition != DISK_FULL or not make_room():
            raise
    return _told(once)


def _told(once: Callable[[], Stored]) -> Stored:
    try:
        return once()
    except OSError as error:
        raise from_os(error, "writing to the model cache") from error


def _copy_in(cache: Cache, uri: str, pinned: str | None, limits: Limits) -> Stored:
    with cache.workplace() as place:
        deadline = Deadline(limits.fetch_s, lambda size: cache.room_for(place, size))
        with contextlib.closing(open_source(uri, limits, deadline)) as source:
            files = _checked(uri, source.files(), limits)
            cache.room_for(place, sum(file.size or 0 for file in files))
            _copy_all(source, files, place)
            digest = digest_folder(place, limits)
            if pinned and digest != pinned:
                raise _changed(uri, pinned, digest)
            return _kept(cache, place, digest, pinned is not None)


def _checked(uri: str, files: Sequence[SourceFile], limits: Limits) -> list[SourceFile]:
    wanted = [file for file in files if file.path not in ADDED_BY_CLIENTS]
    if not wanted:
        raise FetchFailure(f"{uri} holds no files", retry=False)
    if len(wanted) > limits.files:
        raise FetchFailure(f"{uri} holds more than {limits.files} files: this is no model's folder", retry=False)
    for file in wanted:
        try:
            check_name(file.path)
        except FetchFailure as failure:
            raise FetchFailure(f"{uri}: {failure.reason}", retry=False) from None
    return wanted


def _copy_all(source: Source, files: Sequence[SourceFile], place: Path) -> None:
    for file in files:
        target = place / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        source.copy(file, target)


def _kept(cache: Cache, place: Path, digest: str, locked: bool) -> Stored:
    """Without a pin the digest is known only now, and another fetch may have brought the same bytes."""
    if locked:
        return cache.keep(place, digest)
    with cache.locked(digest):
        return cache.find(digest) or cache.keep(place, digest)


def _changed(uri: str, pinned: str, found: str) -> FetchFailure:
    return FetchFailure(
        f"the artifact changed after it was pinned: {pinned} was pinned, {found} is at {uri} now. "
        "Put the old files back, or register a new version: the files of a version must not change",
        retry=False,
    )
