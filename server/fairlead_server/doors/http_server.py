"""An HTTP server on a socket that somebody else has bound: accept, watch over, drain.

uvicorn's protocol without uvicorn's server, whose shutdown closes connections that have been
accepted and have sent nothing yet. Used by the worker's door, and by the supervisor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config

from fairlead_server.doors.connection import Connection
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.house import House
from fairlead_server.doors.listener import Listener
from fairlead_server.settings import Limits

_SLOWEST_SWEEP_S = 1.0
_DRAIN_SWEEP_S = 0.05
_ATTACH_S = 1.0


class HttpServer:
    """Made inside a running loop. `connection` makes the protocol of one connection."""

    def __init__(
        self, app: Any, limits: Limits, gate: Gate, connection: Callable[..., Connection] = Connection
    ) -> None:
        self._config = Config(
            app, http=Connection, ws="none", lifespan="off", interface="asgi3",
            log_config=None, access_log=False, server_header=False, date_header=False, proxy_headers=False,
        )  # fmt: skip
        self._config.load()
        self._loop = asyncio.get_running_loop()
        self._house = House(limits, gate)
        self._connection = connection
        self._listener: Listener | None = None
        self._sweep_s = min(_SLOWEST_SWEEP_S, min(limits.read_s, limits.idle_s, limits.write_s) / 4)
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        return len(self._house.connections)

    def start(self, sock: socket.socket) -> None:
        """Accept from this listening socket, which stays the caller's."""
        self._listener = Listener(sock, lambda: self._connection(self._config, self._house, {}, self._loop))
        self._listener.start()
        self._sweep()

    async def drain(self, grace_s: float, idle_s: float) -> int:
        """Take nothing new, answer what is here, and return when all connections have ended.

        Every answer from now on is its connection's last. A connection without a request gets
        `idle_s` to bring one. What has not ended after `grace_s` is cut, and how many is returned.
        """
        if self._listener is not None:
            self._listener.stop()
            await self._listener.settled(_ATTACH_S)
        self._house.leave(self._loop.time(), idle_s)
        self._sweep_s = min(self._sweep_s, _DRAIN_SWEEP_S)
        self._sweep()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._house.empty.wait()
        return self._cut()

    def close(self) -> None:
        """End at once."""
        if self._listener is not None:
            self._listener.stop()
        self._cut()

    def _cut(self) -> int:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        left = list(self._house.connections)
        for connection in left:
            connection.transport.abort()
        return len(left)

    def _sweep(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        now = self._loop.time()
        for connection in list(self._house.connections):
            connection.check(now)
        self._sweeper = self._loop.call_later(self._sweep_s, self._sweep)
