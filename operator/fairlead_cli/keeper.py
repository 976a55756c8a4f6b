"""Runs one part of `fairlead up`, and sees that nothing of it is left.

    fairlead up --(starts, in a session of its own)--> keeper --(fork, exec)--> the part --> its children

The keeper is the reaper of all that the part starts, also of what outlives its own parent (Ray's daemons,
MLflow's web workers), so it can end them. It ends everything
  - when the part ends by itself: with the part's status;
  - at SIGTERM: the part gets SIGTERM and its grace time, then SIGKILL; a second SIGTERM cuts the grace short;
  - when `fairlead up` dies, however it dies: the kernel sends the SIGTERM.
It must not know what it runs, and imports little: one keeper for each part stays in memory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_WATCHED = {*_ENDING, signal.SIGCHLD}
_REST_S = 3.0  # for what the part left behind, between SIGTERM and SIGKILL
_KILL_S = 5.0  # for SIGKILL to be obeyed


def descendants(ancestor: int) -> list[int]:
    """Every process below `ancestor`, zombies left out."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: list[int] = []
    front = [ancestor]
    while front:
        front = [child for parent in front for child in children.get(parent, [])]
        found += front
    return found


def main(arguments: list[str]) -> int:
    """`arguments`: pid of the starter, grace in seconds, a descriptor to hold open (or -1), the part's command."""
    starter, grace_s, held = int(arguments[0]), float(arguments[1]), int(arguments[2])
    if held >= 0:
        os.set_inheritable(held, False)  # ours until we end; not the part's
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != starter:
        return 1  # it died before the kernel was told to watch it
    part = _start(arguments[3:])
    status = _watch(part, grace_s)
    _end_rest()
    return status


def _start(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def _watch(part: int, grace_s: float) -> int:
    """Waits until the part has ended, asked or not, and gives its exit status (128 + n for signal n)."""
    deadline = None
    while True:
        wait_s = 3600.0 if deadline is None else max(0.0, deadline - time.monotonic())
        received = signal.sigtimedwait(_WATCHED, wait_s)
        status = _reap(part)
        if status is not None:
            return status
        if received is not None and received.si_signo in _ENDING:
            if deadline is None:
                os.kill(part, signal.SIGTERM)
            deadline = time.monotonic() + (grace_s if deadline is None else 0.0)
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(part, signal.SIGKILL)
            deadline += _KILL_S


def _reap(part: int) -> int | None:
    """Collects every child that has ended; the part's status if it is among them."""
    result = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if pid == 0:
            return result
        if pid == part:
            code = os.waitstatus_to_exitcode(status)
            result = code if code >= 0 else 128 - code


def _end_rest() -> None:
    for signal_number, wait_s in ((signal.SIGTERM, _REST_S), (signal.SIGKILL, _KILL_S)):
        _signal(descendants(os.getpid()), signal_number)
        deadline = time.monotonic() + wait_s
        while rest := descendants(os.getpid()):
            if time.monotonic() >= deadline:
                break
            if signal_number == signal.SIGKILL:
                _signal(rest, signal_number)  # also what was started meanwhile
            time.sleep(0.05)
            _reap(0)


def _signal(pids: list[int], signal_number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
