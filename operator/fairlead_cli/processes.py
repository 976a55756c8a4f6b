"""One part of `fairlead up` as its starter sees it: started, looked at, ended.

What happens inside the part's own session is the keeper's; this side holds the keeper's pid and the log file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_KEEPER_S = 10.0  # beyond the grace time: what a keeper needs to end what its part left


class Part:
    """A running part. `hold` is a descriptor that stays open until the part's keeper is gone."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, environment: Mapping[str, str], grace_s: float, hold: int
    ) -> None:
        self.name = name
        self.log = log
        self._grace_s = grace_s
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))  # the last run's log is worth keeping, older ones are not
        with log.open("wb") as out:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "fairlead_cli.keeper", str(os.getpid()), str(grace_s), str(hold), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                pass_fds=(hold,),
            )

    @property
    def pid(self) -> int:
        """The keeper's: the leader of the part's session."""
        return self._keeper.pid

    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._keeper.poll()

    def tail(self, lines: int = 15) -> str:
        """The end of the part's log."""
        with self.log.open(errors="replace") as text:
            return "".join(deque(text, lines)).rstrip()

    def end(self, waiting: Callable[[float], bool]) -> None:
        """Asks the part to end and returns when nothing of it is left.

        `waiting` is called about ten times a second with the seconds since; it answers whether to hurry.
        """
        began = time.monotonic()
        self._keeper.terminate()
        hurried = False
        while self.status() is None and (passed := time.monotonic() - began) < self._grace_s + _KEEPER_S:
            if waiting(passed) and not hurried:
                self._keeper.terminate()
                hurried = True
            time.sleep(0.1)
        if self.status() is None:
            self._kill_session()
        self._keeper.wait(timeout=5)

    def _kill_session(self) -> None:
        for pid in session(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def session(leader: int) -> list[int]:
    """The processes of a session, its leader last."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return sorted(found, key=lambda pid: pid == leader)
