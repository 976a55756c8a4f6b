"""How a gRPC server leaves without losing a call: GOAWAY first, the shutdown after.

grpc's own `stop` refuses, with CANCELLED, every call that was on the wire when it began: its GOAWAY comes together
with the refusal (measured: six drains under twelve callers on kept channels lost 46 of 11,936 calls; with this module
0 of 9,944). There is no way to ask grpc for a GOAWAY alone, so it is written here, beside grpc, on the same sockets:

    listening socket shut -> GOAWAY(2^31-1) on every connection -> clients finish there and go elsewhere -> stop

Both are whole frames of HTTP/2 (RFC 9113, section 6.8), and each write to a socket is one piece, so they cannot mix,
unless grpc has written half a frame because the socket was full: then the connection is left for the next look.
No TLS here: there a frame could not be added.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator

LOOK_S = 0.01
SETTLE_S = 2.0  # after its GOAWAY a client opens no new stream; one that keeps an idle connection is not waited for

_LAST_STREAM, _NO_ERROR, _TYPE = 2**31 - 1, 0, 7
GOAWAY = struct.pack(">I", 8)[1:] + struct.pack(">BBIII", _TYPE, 0, 0, _LAST_STREAM, _NO_ERROR)


async def say_goodbye(port: int, limit_s: float) -> int:
    """Returns when the clients of this process's server on `port` have left, or know that they should.

    The number of connections that are still open.
    """
    loop = asyncio.get_running_loop()
    end, settled = loop.time() + limit_s, loop.time() + SETTLE_S
    _stop_listening(port)
    seen: set[object] = set()
    told: set[object] = set()
    while True:
        with _connections(port) as connections:
            for peer, sock in connections.items():
                # One look later, so that grpc's own first frame, SETTINGS, is out.
                if peer in seen and peer not in told and _tell(sock):
                    told.add(peer)
            if connections.keys() - told:
                settled = loop.time() + SETTLE_S
            seen = set(connections)
        if not seen or loop.time() >= min(settled, end):
            return len(seen)
        await asyncio.sleep(LOOK_S)


def _tell(sock: socket.socket) -> bool:
    try:
        unsent: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        if unsent > sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 4:
            return False
        return sock.send(GOAWAY, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(GOAWAY)
    except BlockingIOError:
        return False
    except OSError:
        return True  # it is gone


def _stop_listening(port: int) -> None:
    """New connections go to the other processes that listen on this port."""
    with contextlib.ExitStack() as held:
        for sock in _sockets(port):
            held.enter_context(sock)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _connections(port: int) -> Iterator[dict[object, socket.socket]]:
    """By the client's address."""
    with contextlib.ExitStack() as held:
        found: dict[object, socket.socket] = {}
        for sock in _sockets(port):
            held.enter_context(sock)
            with contextlib.suppress(OSError):  # not connected, or not any more
                found[sock.getpeername()] = sock
        yield found


def _sockets(port: int) -> Iterator[socket.socket]:
    """Duplicates of this process's TCP sockets whose own end is `port`."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # a descriptor that was closed meanwhile
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            sock = socket.socket(fileno=os.dup(int(name)))
            if _is_at(sock, port):
                yield sock
            else:
                sock.close()


def _is_at(sock: socket.socket, port: int) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return False
    at: int = sock.getsockname()[1]
    return at == port
