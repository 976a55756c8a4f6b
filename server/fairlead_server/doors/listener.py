"""Accepts connections from a listening socket that other processes may share.

A loop of our own, for three reasons: after `stop` it is certain that nothing more is taken from
the kernel's queue, and that what was taken became a connection (asyncio's own server loses what it
accepted in the iteration in which it is closed); a process takes few connections at a time, so
that its neighbours on the same socket get their share; and running out of file descriptors is a
pause, not a busy loop. The listening socket is never shut down, for it is not ours alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from fairlead_server import log

_BATCH = 8
_PAUSE_S = 0.1


class Listener:
    def __init__(self, sock: socket.socket, connect: Callable[[], asyncio.Protocol]) -> None:
        """Takes a duplicate: the caller's socket stays open and is the caller's to close."""
        self._sock = socket.socket(fileno=os.dup(sock.fileno()))
        self._sock.settimeout(0)
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def stop(self) -> None:
        if self._sock.fileno() < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    async def settled(self, timeout_s: float) -> None:
        """Returns when all that was accepted is a connection (or has failed to become one)."""
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=timeout_s)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            # Whether accept blocks is a property of the socket, not of our descriptor, so anybody who shares it may
            # have changed it (Python's `socket.dup` does). Blocking here would stop this whole process.
            os.set_blocking(self._sock.fileno(), False)
            try:
                connection, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._attach(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _attach(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connect, connection)
        except OSError:  # the client has gone again
            with contextlib.suppress(OSError):
                connection.close()

    def _pause(self, error: OSError) -> None:
        log.warning("cannot accept connections", reason=str(error), pause_s=_PAUSE_S)
        self._loop.remove_reader(self._sock.fileno())
        self._resume = self._loop.call_later(_PAUSE_S, self.start)
