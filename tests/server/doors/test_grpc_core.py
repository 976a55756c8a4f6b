"""gRPC's core under the loop: what the layer below grpc's public servers must go on doing with every version of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from fairlead_server.doors.grpc_core import POSTED, STATUS, TURN, Call, CoreServer

OPTIONS = [("grpc.so_reuseport", 1)]
Take = Callable[[Call], None]


@contextlib.asynccontextmanager
async def serving(taken: Take) -> AsyncIterator[tuple[CoreServer, Any]]:
    """A server, and a function that calls it on one channel."""
    server = CoreServer(OPTIONS, taken)
    port = server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel.unary_unary("/a/B")
    await asyncio.wait_for(server.stop(0), 5)


def story(tell: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(tell(), 20))


def echo(call: Call) -> None:
    call.answer(call.request or b"")


def test_more_calls_at_once_than_are_posted_or_taken_in_a_turn_are_all_answered() -> None:
    """Nothing is lost between the poller and the loop, whoever has the turn."""
    wanted = [b"%d" % number for number in range(4 * max(POSTED, TURN))]

    async def tell() -> None:
        async with serving(echo) as (_, say):
            for _ in range(3):
                assert await asyncio.gather(*(say(data, timeout=10) for data in wanted)) == wanted

    story(tell)


def test_a_call_tells_where_it_came_from_and_what_for() -> None:
    """Method, metadata, the client's end, and the time that its deadline leaves."""
    calls: list[Call] = []

    def note(call: Call) -> None:
        calls.append(call)
        call.answer(b"")

    async def tell() -> None:
        async with serving(note) as (_, say):
            await say(b"x", timeout=7, metadata=(("x-user", "anna"), ("x-bin", b"\0")))
            await say(b"x")

    story(tell)
    first, second = calls
    assert (first.method, first.request, first.peer[:14]) == (b"/a/B", b"x", b"ipv4:127.0.0.1")
    assert {("x-user", "anna"), ("x-bin", b"\0")} <= set(first.metadata)
    assert (first.remaining_s() == pytest.approx(7, abs=3), second.remaining_s()) == (True, math.inf)


def test_a_refusal_has_a_status_details_and_trailers() -> None:
    """Every status that gRPC knows can be given."""
    assert {name: code.value[0] for name, code in grpc.StatusCode.__members__.items()} == dict(STATUS)

    async def tell() -> None:
        def refuse(call: Call) -> None:
            call.refuse("NOT_FOUND", "nö".encode(), (("a", "b"),))

        async with serving(refuse) as (_, say):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await say(b"", timeout=5)
            error = caught.value
            assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "nö")
            assert ("a", "b") in tuple(error.trailing_metadata())

    story(tell)


def test_who_leaves_is_told_and_gets_no_answer_any_more() -> None:
    """A cancelled call says so once, and an answer to it is nothing but out; one that was answered says nothing."""
    said: list[str] = []

    async def tell() -> None:
        out = asyncio.Event()

        def hold(call: Call) -> None:
            call.gone = lambda: (said.append("gone"), call.answer(b"late", out.set))

        async with serving(hold) as (_, say):
            with pytest.raises(grpc.aio.AioRpcError):
                await say(b"", timeout=0.1)
            await asyncio.wait_for(out.wait(), 5)

        def quick(call: Call) -> None:
            call.gone = lambda: said.append("gone too")
            call.answer(b"", lambda: said.append("out too"))

        async with serving(quick) as (_, say):
            await say(b"", timeout=5)

    story(tell)
    assert said == ["gone", "out too"]


def test_a_fault_in_one_call_leaves_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    """It is logged; the next call is served."""

    async def tell() -> None:
        failed = asyncio.Event()

        def fail_first(call: Call) -> None:
            if call.request == b"bad":
                failed.set()
                raise ZeroDivisionError
            echo(call)

        async with serving(fail_first) as (_, say):
            with pytest.raises(grpc.aio.AioRpcError):
                await say(b"bad", timeout=0.3)
            assert await say(b"good", timeout=5) == b"good"

    story(tell)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(("grace_s", "code"), [(5.0, None), (0.1, grpc.StatusCode.UNAVAILABLE)])
def test_stopping_waits_for_what_is_under_way(grace_s: float, code: grpc.StatusCode | None) -> None:
    """Within the grace time a call is answered; after it, it is cancelled. The thread ends with the server."""

    async def tell() -> None:
        loop = asyncio.get_running_loop()
        taken = asyncio.Event()

        def answer_soon(call: Call) -> None:
            taken.set()
            loop.call_later(0.5, call.answer, b"done")

        async with serving(answer_soon) as (server, say):
            call = say(b"", timeout=5)
            await asyncio.wait_for(taken.wait(), 5)
            await server.stop(grace_s)
            if code is None:
                assert await call == b"done"
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is code
            await asyncio.sleep(0.6)  # the answer that comes too late harms nobody

    story(tell)
    for thread in threading.enumerate():
        if thread.name == "grpc":
            thread.join(5)
            assert not thread.is_alive()


def test_a_server_that_never_served_can_be_stopped() -> None:
    """And an address that cannot be bound is told."""

    async def tell() -> None:
        server = CoreServer(OPTIONS, echo)
        with pytest.raises(OSError, match="could not bind"):
            server.start("127.0.0.1.example.invalid:1")
        await server.stop(1)

    story(tell)
