"""What is fetched or built once and kept: folders under the user's cache, each made whole or not at all.

Knows nothing of what it keeps. A folder's name holds everything that it depends on, so one that is there is right.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from local_cluster.errors import Unavailable

TURN_S = 3600.0  # the longest that another run may hold the lock: a build on a slow machine
LOOK_S = 0.2

Say = Callable[[str], None]


def home() -> Path:
    """${XDG_CACHE_HOME:-~/.cache}/fairlead/local_cluster."""
    above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(above) / "fairlead" / "local_cluster"


def key(*parts: str | bytes | Path) -> str:
    """A short name for exactly these words and contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def made(name: str, make: Callable[[Path], None], say: Say) -> Path:
    """The cached folder `name`, filled by `make` when it is missing. Two runs at once: one makes, the other waits.

    Raises Unavailable, and whatever `make` raises; then nothing is kept.
    """
    folder = home() / name
    if folder.is_dir():
        return folder
    with turn(home() / f"{name}.lock", say):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=home(), prefix=f".{name}.") as scratch:
                fresh = Path(scratch) / "new"
                fresh.mkdir()
                make(fresh)
                fresh.rename(folder)
    return folder


@contextlib.contextmanager
def turn(lock: Path, say: Say, limit_s: float = TURN_S) -> Iterator[None]:
    """One run at a time holds `lock`; the others wait, and say so. Raises Unavailable when that takes too long."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + limit_s
    with lock.open("w") as file:
        while not _locked(file.fileno()):
            if time.monotonic() > deadline:
                raise Unavailable(f"another run has held {lock} for {limit_s:g} s: end it, then try again")
            if deadline - time.monotonic() > limit_s - LOOK_S:
                say("another run is at work: waiting")
            time.sleep(LOOK_S)
        yield


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
