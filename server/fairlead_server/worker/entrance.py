"""Both doors of a worker as one: opened once, drained once.

HTTP connections come from the socket that the supervisor has bound and all workers share; gRPC binds the port
itself (SO_REUSEPORT).
"""

from __future__ import annotations

import asyncio
import functools
import socket

from fairlead_server.doors.fast_http import FastConnection
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.http_server import HttpServer
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.rest import RestApp
from fairlead_server.doors.rpc import RpcServer
from fairlead_server.service.journey import Service
from fairlead_server.settings import ReplicaSettings, in_url


class Entrance:
    """Made inside the running loop."""

    def __init__(self, service: Service, settings: ReplicaSettings, http_fd: int) -> None:
        limits = settings.limits
        self.gate = Gate(limits.concurrent)
        self._service = service
        self._address = f"{in_url(settings.host)}:{settings.grpc_port}"
        self._listening = socket.socket(fileno=http_fd)
        infer = InferDoor(service, self.gate, limits.body_bytes)
        connection = functools.partial(FastConnection, infer=infer)
        self._http = HttpServer(RestApp(service, infer), limits, self.gate, connection)
        self._rpc = RpcServer(service, self.gate, limits, settings.drain.grace_s)

    @property
    def connections(self) -> int:
        """Of HTTP; grpc does not tell its own."""
        return self._http.connections

    async def open(self) -> None:
        await self._rpc.start(self._address)
        self._http.start(self._listening)
        self._service.accepting = True

    async def drain(self, grace_s: float, idle_s: float) -> int:
        """Not ready at once, then both doors at the same time. The number of connections that had to be cut."""
        self._service.accepting = False
        cut, _ = await asyncio.gather(self._http.drain(grace_s, idle_s), self._rpc.drain(grace_s))
        return cut
