"""The waiting room: who answers on the HTTP socket while no worker accepts.

Connections wait in the kernel first. When the wait is over, the supervisor takes them itself and answers
503 to each, until a worker accepts again. It reads a request only far enough to answer it, and lets the
caller finish sending, since closing earlier would reset the connection and lose the answer.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import cast

import msgspec

from fairlead_server.supervisor.sockets import admit_nobody_new

MOST = 512  # callers served at once; the others go on waiting in the kernel
HEAD_BYTES = 64 * 2**10
ANSWER_S = 5.0  # for the head of a request to arrive
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
FULL_S = 0.5  # how long nobody is taken when there is no room for a connection
LINGER_S = 2.0  # for the caller to close its side


class WaitingRoom:
    """Takes callers from `sock` between `open` and `close`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._answer = b""
        self._callers: set[_Caller] = set()
        self._reading = False
        self.is_open = False
        self.answered = 0

    def open(self, message: str, retry_after: int) -> None:
        self._answer = refusal(message, retry_after)
        self.is_open = True
        self._watch()

    def close(self) -> None:
        """Take nobody any more. Those who were taken get their answer."""
        self.is_open = False
        self._stop_watching()

    async def empty(self, settle_s: float = 0.05) -> None:
        """The end of the socket: admit nobody new, answer everybody whom the kernel has accepted, close."""
        if admit_nobody_new(self._sock):
            await asyncio.sleep(settle_s)  # a handshake that was under way
        self._stop_watching()
        self._take()
        await self._all_gone()
        self._sock.close()
        self.is_open = False

    async def _all_gone(self) -> None:
        until = asyncio.get_running_loop().time() + ANSWER_S + LINGER_S
        while self._callers and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - once in a lifetime
            await asyncio.sleep(0.01)

    def _watch(self) -> None:
        if self.is_open and not self._reading and len(self._callers) < MOST:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._take)
            self._reading = True

    def _stop_watching(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._reading = False

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._callers) < MOST:
            try:
                connection, _ = self._sock.accept()
            except OSError as fault:  # nobody waits, or the caller is gone already
                if fault.errno in FULL:
                    self._stop_watching()  # else the loop would turn round this one socket
                    loop.call_later(FULL_S, self._watch)
                return
            caller = _Caller(self)
            self._callers.add(caller)
            caller.task = loop.create_task(_serve(caller, connection))
        self._stop_watching()

    def answer(self) -> bytes:
        self.answered += 1
        return self._answer

    def left(self, caller: _Caller) -> None:
        self._callers.discard(caller)
        self._watch()


async def _serve(caller: _Caller, connection: socket.socket) -> None:
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: caller, sock=connection)
    except OSError:
        connection.close()
        caller.connection_lost(None)


class _Caller(asyncio.Protocol):
    """One connection: a head comes in, the answer goes out, the rest is read and dropped."""

    task: asyncio.Task[None]  # kept, since the loop holds tasks weakly

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._head = bytearray()
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(ANSWER_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > HEAD_BYTES:
            self._done = True
            self._timer.cancel()
            self._transport.write(self._room.answer())
            self._transport.write_eof()
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._give_up)

    def eof_received(self) -> None:
        return None  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_timer"):
            self._timer.cancel()
        self._room.left(self)

    def _give_up(self) -> None:
        self._transport.abort() if not self._done else self._transport.close()


def refusal(message: str, retry_after: int) -> bytes:
    body = msgspec.json.encode({"error": message})
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        f"retry-after: {retry_after}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
