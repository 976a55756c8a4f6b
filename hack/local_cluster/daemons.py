"""The node's processes, which outlive the command that starts them: each has a log and a file with its pid in `RUN`.

A process is only ever ended by the pid that was written down, and only while that pid is still the same program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local_cluster.errors import Unavailable
from local_cluster.layout import RUN

LOOK_S = 0.1
END_S = 30.0
TAIL = 5


def start(name: str, command: Sequence[str]) -> int:
    """In a session of its own; returns its pid."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(RUN / f"{name}.log"), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    number = os.posix_spawnp(command[0], list(command), os.environ, file_actions=files, setsid=True)
    (RUN / f"{name}.pid").write_text(f"{number} {_born(number)}")
    return number


def pid(name: str) -> int | None:
    """The pid of the process while it lives."""
    try:
        number, born = (RUN / f"{name}.pid").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(number) if _born(int(number)) == born else None


def wait(name: str, ready: Callable[[], bool], limit_s: float) -> None:
    """Until `ready` says so. Raises Unavailable when the process ends before, or the time is over."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if pid(name) is None:
            raise Unavailable(f"{name} ended at once: {tail(name)}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} was not ready within {limit_s:g} s: {tail(name)}")
        time.sleep(LOOK_S)


def end(name: str) -> None:
    """SIGTERM, then SIGKILL; returns when it is gone, and forgets it."""
    number = pid(name)
    if number is not None:
        for wanted, limit_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, wanted)
            deadline = time.monotonic() + limit_s
            while pid(name) is not None and time.monotonic() < deadline:
                time.sleep(LOOK_S)
            if pid(name) is None:
                break
        with contextlib.suppress(ChildProcessError):
            os.waitpid(number, os.WNOHANG)  # where this very process started it
    (RUN / f"{name}.pid").unlink(missing_ok=True)


def tail(name: str) -> str:
    """The end of its log, in one line."""
    log = RUN / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join(lines[-TAIL:])


def _born(number: int) -> str:
    """When this pid's process was started, in the kernel's ticks; empty when it lives no more."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
