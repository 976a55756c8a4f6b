"""A subject's process: started with its log, waited for, and ended with all that it started.

Knows no subject. Each process stands under a keeper (fairlead_cli.keeper), which ends what outlives its own parent
(Ray's daemons, Triton's stubs), and ends everything when the benchmark itself dies.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from fairlead_cli.ports import reserve

GRACE_S = 20.0  # from SIGTERM to SIGKILL
REST_S = 12.0  # for what is left then
START_S = 120.0
LOOK_S = 0.05
FIRST_PORT = 21_000  # below the ports that the kernel gives to clients


class SubjectFailed(Exception):
    """A subject did not start, did not become ready, or did not answer; the text holds the end of its log."""


class Process:
    """A running process with its log."""

    def __init__(self, name: str, keeper: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._keeper = keeper

    def pids(self) -> tuple[int, ...]:
        """The process itself, and what has lost its parent: the roots of all that it consists of."""
        tasks = Path(f"/proc/{self._keeper.pid}/task").glob("*/children")
        return tuple(int(pid) for task in tasks for pid in task.read_text().split())

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait(self, ready: Callable[[], bool], limit_s: float = START_S) -> None:
        """Until `ready` says so; a connection that fails means not yet. Raises SubjectFailed."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if ready():
                    return
            if self._keeper.poll() is not None:
                raise SubjectFailed(f"{self.name} ended with status {self._keeper.returncode}:\n{self.tail()}")
            time.sleep(LOOK_S)
        raise SubjectFailed(f"{self.name} was not ready after {limit_s:g} s:\n{self.tail()}")

    def end(self) -> None:
        """SIGTERM, the grace time, SIGKILL; returns when nothing of it is left."""
        self._keeper.terminate()
        try:
            self._keeper.wait(GRACE_S + REST_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait(REST_S)


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """`environment` is added to this process's own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    keeper = [sys.executable, "-m", "fairlead_cli.keeper", str(os.getpid()), str(GRACE_S), "-1"]
    with log.open("wb") as out:
        started = subprocess.Popen(
            [*keeper, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    process = Process(name, started, log)
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def ports(count: int) -> Iterator[range]:
    """Neighbouring free ports of the loopback address, which no other run of the benchmark takes meanwhile."""
    reserved = reserve(FIRST_PORT, count)
    try:
        yield range(reserved.first, reserved.first + count)
    finally:
        reserved.close()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    return httpx.get(url, timeout=2).status_code == 200
