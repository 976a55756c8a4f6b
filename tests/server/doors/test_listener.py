from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

from fairlead_server.doors.listener import Listener

GET = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"


def test_running_out_of_descriptors_is_a_pause(open_doors: Callable[..., Any], capfd: Any) -> None:
    """With no descriptor left the loop neither spins nor dies, and serves what waited as soon as there is one."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_doors() as doors:
        waiting = [socket.socket() for _ in range(4)]
        highest = max(map(int, os.listdir("/proc/self/fd")))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, usual[1]))
            held = []
            while True:
                try:
                    held.append(os.dup(0))
                except OSError:
                    break
            for sock in waiting:
                sock.settimeout(5)
                sock.connect(("127.0.0.1", doors.http_port))
                sock.sendall(GET)
            begun = time.process_time()
            time.sleep(0.4)
            assert time.process_time() - begun < 0.2
            assert doors.http.connections == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
            for fd in held:
                os.close(fd)
        for sock in waiting:
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            sock.close()
    assert "cannot accept connections" in capfd.readouterr().err


def test_a_socket_that_a_neighbour_made_blocking_blocks_nobody() -> None:
    """The mode belongs to the shared socket, so it is set before every accept."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as shared:
            listener = Listener(shared, asyncio.Protocol)
            listener.start()
            shared.setblocking(True)
            with socket.create_connection(shared.getsockname()):
                await asyncio.wait_for(asyncio.sleep(0.05), 1)
            listener.stop()
            await listener.settled(1)

    asyncio.run(main())


def test_stopping_twice_does_no_harm() -> None:
    """A drain may follow a drain."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as shared:
            listener = Listener(shared, asyncio.Protocol)
            listener.start()
            listener.stop()
            listener.stop()
            assert shared.fileno() >= 0

    asyncio.run(main())
