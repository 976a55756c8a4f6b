"""Which versions are running, in memory that outlives the process that runs them.

A worker that dies by a signal says nothing; the supervisor reads here what it was running (rule 12).
The memory is a memfd of `SLOTS` slots of 64 bytes: a uid in ASCII, padded with NUL, or all NUL. The last byte is set
where the run is on the loop's own thread: such a one, if it hangs, is why its worker says nothing any more.
No numpy here: the supervisor must stay small.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from typing import Protocol

SLOTS = 64
SLOT_BYTES = 64
SIZE = SLOTS * SLOT_BYTES
_EMPTY = bytes(SLOT_BYTES)
_IN_PLACE = b"!"


def create() -> int:
    """A new memfd, to be inherited by a worker. Linux only."""
    fd = os.memfd_create("fairlead-marks", os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    return fd


def read(fd: int) -> tuple[str, ...]:
    """The uids that were running when their worker last wrote, each once, sorted."""
    return _uids(os.pread(fd, SIZE, 0))


def read_in_place(fd: int) -> tuple[str, ...]:
    """Those of them that held up the loop: one at most."""
    return _uids(os.pread(fd, SIZE, 0), _IN_PLACE)


def _uids(data: bytes, flag: bytes = b"") -> tuple[str, ...]:
    slots = (data[at : at + SLOT_BYTES] for at in range(0, len(data), SLOT_BYTES))
    found = {slot[:-1].rstrip(b"\0") for slot in slots if slot.endswith(flag)}
    return tuple(sorted(uid.decode("ascii", "replace") for uid in found if uid))


class RunningMark(Protocol):
    """Where a run is noted while it lasts; called on the thread that runs."""

    def enter(self, in_place: bool = False) -> int: ...

    def leave(self, at: int) -> None: ...


class Marks:
    """The writer's side, one per worker. Slots may be taken and given back by any thread: a deque's
    `pop` and `append` are atomic, and a slot has one holder."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, SIZE)
        self._free: deque[int] = deque(range(0, SIZE, SLOT_BYTES))

    def mark(self, uid: str) -> Mark:
        return Mark(self._memory, self._free, uid)

    def running(self) -> tuple[str, ...]:
        """As `read` sees them. May be asked on any thread."""
        return _uids(self._memory[:])

    def close(self) -> None:
        self._memory.close()


class Mark:
    """One version's pen. `enter` returns the slot to give back to `leave`; -1 when all slots are in use,
    which leaves that run unmarked rather than late."""

    def __init__(self, memory: mmap.mmap, free: deque[int], uid: str) -> None:
        self._memory = memory
        self._free = free
        text = uid.encode("ascii")[: SLOT_BYTES - 1].ljust(SLOT_BYTES - 1, b"\0")
        self._on_thread, self._in_place = text + b"\0", text + _IN_PLACE

    def enter(self, in_place: bool = False) -> int:
        try:
            at = self._free.pop()
        except IndexError:
            return -1
        self._memory[at : at + SLOT_BYTES] = self._in_place if in_place else self._on_thread
        return at

    def leave(self, at: int) -> None:
        if at >= 0:
            self._memory[at : at + SLOT_BYTES] = _EMPTY
            self._free.append(at)


class NoMark:
    """For a batcher that nobody watches: a trial has one version, and tests have no memfd."""

    def enter(self, in_place: bool = False) -> int:
        return -1

    def leave(self, at: int) -> None:
        return None
