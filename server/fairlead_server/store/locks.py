"""Exclusive locks on files and folders, between threads and processes, gone with whoever held them (flock).

A killed fetcher leaves no lock behind, so what is locked is in somebody's hands and what is not is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_S = 0.05


class Busy(Exception):
    """Somebody else holds it."""


@contextlib.contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`, made where it is not there and removed at the end. Busy after `wait_s` seconds."""
    end = time.monotonic() + wait_s
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _take(handle) and _still(handle, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)
        if time.monotonic() >= end:
            raise Busy(str(path))
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def held_folder(path: Path) -> Iterator[None]:
    """Hold an existing folder. Busy when somebody has it; FileNotFoundError when it is gone."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _take(handle):
            raise Busy(str(path))
        if not _still(handle, path):
            raise FileNotFoundError(str(path))
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still(handle: int, path: Path) -> bool:
    """Whether `path` is what was locked: its last holder removes the file, and a waiter may have opened that one."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
