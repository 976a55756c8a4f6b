"""Which ports `fairlead up` takes: the usual ones when they are free, else the next free block.

A port is free when it can be bound and listened on alone, when no pool holds its lock (an abstract Unix socket,
the same name that the server uses), and when no other `fairlead up` has chosen it and not yet bound it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from fairlead_cli.errors import CommandError

_STEP = 10
_TRIES = 50


class Reserved:
    """Ports that no other `fairlead up` chooses while this object is open."""

    def __init__(self, first: int, count: int, locks: list[socket.socket], usual: bool) -> None:
        self.first = first
        self.count = count
        self.usual = usual
        self._locks = locks

    def close(self) -> None:
        """Lets others choose these ports again."""
        for lock in self._locks:
            lock.close()


def reserve(first: int, count: int, host: str = "127.0.0.1") -> Reserved:
    """`count` neighbouring ports from `first`, or from the next block of ten where all are free."""
    for start in _starts(first):
        block = range(start, start + count)
        locks = _lock(block)
        if locks is None:
            continue
        if all(_free(port, host) for port in block):
            return Reserved(start, count, locks, start == first)
        for lock in locks:
            lock.close()
    raise CommandError(f"found no {count} free ports from {first} on: end what holds them, or choose others")


def _starts(first: int) -> Iterator[int]:
    for start in range(first, first + _TRIES * _STEP, _STEP):
        if start + _STEP < 65536:
            yield start


def _lock(block: range) -> list[socket.socket] | None:
    locks: list[socket.socket] = []
    for port in block:
        lock = _abstract(f"fairlead-up-{port}")
        if lock is None:
            for taken in locks:
                taken.close()
            return None
        locks.append(lock)
    return locks


def _abstract(name: str) -> socket.socket | None:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind("\0" + name)
    except OSError:
        lock.close()
        return None
    return lock


def _free(port: int, host: str) -> bool:
    pool = _abstract(f"fairlead-port-{port}")
    if pool is None:
        return False
    with pool, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it a port that was in use a minute ago counts as taken; a listener is noticed all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True
