"""Leaving gRPC clients: kept channels go over to a successor, and no call is lost on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from fairlead_server.doors.farewell import GOAWAY, say_goodbye


class Echo:
    """A grpc server that answers after a moment."""

    def __init__(self) -> None:
        self.answered = 0
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        method = grpc.unary_unary_rpc_method_handler(self._answer)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", {"Say": method}),))

    async def start(self, port: int = 0) -> int:
        bound: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()
        return bound

    async def stop(self) -> None:
        await self._server.stop(5)

    async def _answer(self, data: bytes, _context: Any) -> bytes:
        await asyncio.sleep(0.001)
        self.answered += 1
        return data


def channel(port: int) -> Any:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def test_goaway_is_the_frame_of_the_specification() -> None:
    """RFC 9113, 6.8: length 8, type 7, no flags, stream 0, the highest stream, NO_ERROR."""
    assert bytes.fromhex("000008 07 00 00000000 7fffffff 00000000") == GOAWAY


def test_kept_channels_move_to_the_successor_and_lose_no_call() -> None:
    """In the same process the port is shared, so all that was told moves to whoever still listens."""

    async def story() -> None:
        old = Echo()
        port = await old.start()
        channels = [channel(port) for _ in range(3)]
        stop = asyncio.Event()
        calls = 0

        async def call_on(kept: Any) -> None:
            nonlocal calls
            say = kept.unary_unary("/echo/Say")
            while not stop.is_set():
                assert await say(b"x", timeout=5) == b"x"
                calls += 1

        load = [asyncio.ensure_future(call_on(kept)) for kept in channels * 3]
        await asyncio.sleep(0.1)
        left = asyncio.ensure_future(say_goodbye(port, 5.0))
        await asyncio.sleep(0)  # the old one listens no more
        new = Echo()
        assert await new.start(port) == port
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*load)
        assert (old.answered > 0, new.answered > 0, old.answered + new.answered) == (True, True, calls)
        for kept in channels:
            await kept.close()
        assert await asyncio.wait_for(left, 5) == 0
        await old.stop()
        await new.stop()

    asyncio.run(story())


def test_a_client_that_keeps_its_connection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After GOAWAY and a moment the server may stop, whoever still holds a connection."""
    monkeypatch.setattr("fairlead_server.doors.farewell.SETTLE_S", 0.1)

    async def story() -> None:
        server = Echo()
        port = await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000"))
        await asyncio.wait_for(reader.readexactly(9), 5)
        assert await asyncio.wait_for(say_goodbye(port, 5.0), 5) == 1
        assert GOAWAY in await asyncio.wait_for(reader.read(1000), 5)
        writer.close()
        await server.stop()

    asyncio.run(story())


def test_nobody_there_is_a_farewell_too() -> None:
    """A port without connections is left at once."""

    async def story() -> None:
        server = Echo()
        assert await asyncio.wait_for(say_goodbye(await server.start(), 5.0), 1) == 0
        await server.stop()

    asyncio.run(story())
