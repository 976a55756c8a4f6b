"""A child process of the replica: started by exec, heard over its link, and never left behind.

A child leads a session of its own and ends when its link ends (and by PR_SET_PDEATHSIG, which fires with the
*thread* that started it: so children are started on the loop's own thread, which lives as long as the supervisor).
What ended a child matters: only a signal that the supervisor did not send counts against a version.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.settings import ReplicaSettings

COMMAND = (sys.executable, "-m", "fairlead_server")
LEAST_NICE, SOME_NICE = 19, 5  # of a session beside traffic, and of one that has waited for long
AGAIN_S, TRIES = 0.2, 10  # the kernel takes ten changes a second from all who are not privileged
MALLOC_ARENAS = "2"  # glibc makes eight a core, and what is freed stays in each: loads and unloads would add up


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a child ended. `ours`: the supervisor killed it."""

    status: int  # as subprocess tells it: below 0 by that signal
    ours: bool

    @property
    def by_signal(self) -> bool:
        """By a signal that the supervisor did not send."""
        return self.status < 0 and not self.ours

    def __str__(self) -> str:
        if self.status >= 0:
            return f"it ended with status {self.status}"
        with contextlib.suppress(ValueError):
            return f"it was killed by {signal.Signals(-self.status).name}"
        return f"it was killed by signal {-self.status}"


class Child:
    """One process and its link. `start` it on the loop's thread."""

    def __init__(self, role: str, process: subprocess.Popen[bytes], link: Link[Any]) -> None:
        self.role = role
        self.pid = process.pid
        self.started = time.monotonic()
        self._process = process
        self._link = link
        self._killed = False
        self._patience: asyncio.TimerHandle | None = None

    @classmethod
    async def start(
        cls, role: str, launch: Launch, wanted: Any, arguments: Sequence[str] = (), fds: Sequence[int] = ()
    ) -> Child:
        ours, theirs = socket.socketpair()
        command = [*launch.command, role, "--link-fd", str(theirs.fileno()), "--settings", launch.settings_json()]
        command += ["--boot", launch.boot, *arguments]
        try:
            # stdout is where `serve` prints its addresses; what a child prints goes with the logs
            process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec; it must be this thread
                command, pass_fds=[theirs.fileno(), *fds], start_new_session=True, stdin=subprocess.DEVNULL, stdout=2,
                env={"MALLOC_ARENA_MAX": MALLOC_ARENAS, **os.environ},
            )  # fmt: skip
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(role, process, await Link.over(ours, wanted))

    def send(self, message: msgspec.Struct) -> None:
        """To a child that is gone or does not read: nothing happens, and its end is told by `receive`."""
        with contextlib.suppress(LinkEnded):
            self._link.send(message)

    async def receive(self) -> Any:
        """The next message, or None at the end."""
        return await self._link.receive()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._killed = True
            self._process.kill()

    def give_way(self, patience_s: float) -> None:
        """To the workers, nearly altogether; after `patience_s` a good deal less, so that what the traffic leaves no
        time for ends too. A child leads a session, and where the kernel schedules by session (sched_autogroup), a nice
        value inside one says nothing to the others: measured on one core beside a process that wants all of it, 50 %
        with the nice value 10, as without it, and 25 % when the session is lowered by 5. Other than a nice value, a
        session's can be taken back without privileges."""
        self._lower_session(LEAST_NICE, TRIES)
        if self._patience is not None:
            self._patience.cancel()
        self._patience = asyncio.get_running_loop().call_later(patience_s, self._lower_session, SOME_NICE, TRIES)

    def _lower_session(self, nice: int, tries: int) -> None:
        if self._process.poll() is not None:
            return
        try:
            Path(f"/proc/{self.pid}/autogroup").write_text(str(nice))
        except BlockingIOError:
            if tries > 1:
                asyncio.get_running_loop().call_later(AGAIN_S, self._lower_session, nice, tries - 1)
        except OSError:
            return  # there is no such thing everywhere, nor needed there

    def running(self) -> bool:
        return self._process.poll() is None

    async def ending(self, limit_s: float) -> Ending:
        """To be asked when the link has ended. What still runs after `limit_s` is killed."""
        self._link.close()
        if self._patience is not None:
            self._patience.cancel()
        until = time.monotonic() + limit_s
        while self._process.poll() is None:
            if time.monotonic() >= until:
                self.kill()
                until += limit_s
            await asyncio.sleep(0.01)
        return Ending(self._process.returncode, self._killed)

    def memory_bytes(self) -> int:
        return memory_bytes(self.pid)


@dataclasses.dataclass(frozen=True)
class Launch:
    """What every child of this replica is started with."""

    settings: ReplicaSettings
    boot: str
    command: tuple[str, ...] = COMMAND

    def settings_json(self) -> str:
        return msgspec.json.encode(self.settings).decode()


def memory_bytes(pid: int | str) -> int:
    """Memory that only this process's end would free: anonymous and shared-memory pages, not mapped files."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
    return total
