"""Doors around a fake service, on free ports, in a loop of their own thread so that blocking clients can call."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import uvloop

from fairlead_server.doors.fast_http import FastConnection
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.http_server import HttpServer
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.rest import RestApp
from fairlead_server.doors.rpc import RpcServer
from fairlead_server.settings import Limits
from fairlead_server.testing import FakeService


@dataclasses.dataclass
class Doors:
    """Running doors: their ports, and calls into their loop."""

    service: FakeService
    gate: Gate
    loop: asyncio.AbstractEventLoop
    listening: socket.socket
    http: HttpServer
    rpc: RpcServer | None
    grpc_port: int

    @property
    def http_port(self) -> int:
        return self.listening.getsockname()[1]

    def start(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a coroutine function in the doors' loop."""

        async def run() -> Any:
            return await call()

        return asyncio.run_coroutine_threadsafe(run(), self.loop)

    def drain(self, grace_s: float = 5.0, idle_s: float = 0.3) -> Future[int]:
        return self.start(lambda: self.http.drain(grace_s, idle_s))

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=timeout_s)


@contextlib.contextmanager
def open_doors(
    service: FakeService | None = None,
    limits: Limits | None = None,
    *,
    listening: socket.socket | None = None,
    rpc: bool = False,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> Iterator[Doors]:
    service, limits = service or FakeService(), limits or Limits()
    listening = listening or socket.create_server(("127.0.0.1", 0), backlog=512)
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> Doors:
        gate = Gate(limits.concurrent)
        infer = InferDoor(service, gate, limits.body_bytes)
        http = HttpServer(RestApp(service, infer), limits, gate, functools.partial(FastConnection, infer=infer))
        http.start(listening)
        server = RpcServer(service, gate, limits, grace_s=5) if rpc else None
        port = await server.start("127.0.0.1:0") if server else 0
        return Doors(service, gate, loop, listening, http, server, port)

    doors = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)

    async def end() -> None:
        doors.http.close()
        if doors.rpc:
            await doors.rpc.drain(0)
        await asyncio.sleep(0.01)

    try:
        yield doors
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        listening.close()


@pytest.fixture(name="open_doors")
def _open_doors() -> Callable[..., contextlib.AbstractContextManager[Doors]]:
    return open_doors


@pytest.fixture(name="open_doors_once", scope="module")
def _open_doors_once() -> Callable[..., contextlib.AbstractContextManager[Doors]]:
    return open_doors
