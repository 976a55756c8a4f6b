"""The frames between a supervisor and its children."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from fairlead_server.link import messages as link
from fairlead_server.link import stream
from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.models.catalog import Route
from fairlead_server.models.entry import WorkerEntry


async def both() -> tuple[Link[link.ToWorker], Link[link.ToSupervisor]]:
    ours, theirs = socket.socketpair()
    worker: Link[link.ToWorker] = await Link.over(theirs, link.ToWorker)
    supervisor: Link[link.ToSupervisor] = await Link.over(ours, link.ToSupervisor)
    return worker, supervisor


def test_messages_arrive_whole_and_in_order() -> None:
    """What one end sends, the other receives as the same values in the same order."""

    async def story() -> None:
        worker, supervisor = await both()
        entry = WorkerEntry({"3": "u3"}, {"champion": "3"}, Route({"3": 1.0}))
        down = [link.Apply(7, {"churn": entry, "gone": None}), link.Unload("u2"), link.Drain(5.0, 1.0)]
        for message in down:
            supervisor.send(message)
        assert [await worker.receive() for _ in down] == down
        worker.send(link.Hello(12))
        assert await supervisor.receive() == link.Hello(12)
        worker.close()
        supervisor.close()

    asyncio.run(story())


def test_frames_cut_at_any_byte_are_put_together() -> None:
    """A frame that arrives byte by byte is one message."""

    async def story() -> None:
        raw, theirs = socket.socketpair()
        raw.setblocking(False)
        worker: Link[link.ToWorker] = await Link.over(theirs, link.ToWorker)
        body = msgspec.msgpack.encode(link.Unload("u1"))
        loop = asyncio.get_running_loop()
        for byte in len(body).to_bytes(4, "big") + body:
            await loop.sock_sendall(raw, bytes([byte]))
        assert await asyncio.wait_for(worker.receive(), 5) == link.Unload("u1")
        raw.close()
        assert await asyncio.wait_for(worker.receive(), 5) is None

    asyncio.run(story())


def test_what_was_sent_before_the_end_is_received() -> None:
    """The end of the stream comes after the messages that were sent before it, and stays."""

    async def story() -> None:
        worker, supervisor = await both()
        worker.send(link.Accepting(False))
        await worker.closed(5)
        assert await supervisor.receive() == link.Accepting(False)
        assert await supervisor.receive() is None
        assert await supervisor.receive() is None
        with pytest.raises(LinkEnded):
            supervisor.send(link.Unload("u1"))

    asyncio.run(story())


def test_a_receiver_that_waits_learns_of_the_end() -> None:
    """A pending receive ends with None when the other end goes."""

    async def story() -> None:
        worker, supervisor = await both()
        waiting = asyncio.ensure_future(worker.receive())
        await asyncio.sleep(0)
        supervisor.close()
        assert await asyncio.wait_for(waiting, 5) is None

    asyncio.run(story())


@pytest.mark.parametrize("raw_bytes", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1"])
def test_what_is_no_frame_ends_the_link(raw_bytes: bytes) -> None:
    """A length beyond the limit, or bytes that are no message, end the link with the reason."""

    async def story() -> None:
        raw, theirs = socket.socketpair()
        worker: Link[link.ToWorker] = await Link.over(theirs, link.ToWorker)
        raw.send(raw_bytes)
        assert await asyncio.wait_for(worker.receive(), 5) is None
        assert "frame" in worker.fault
        raw.close()

    asyncio.run(story())


def test_an_end_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending never waits: what waits unsent is bounded, and beyond the bound the link ends."""
    monkeypatch.setattr(stream, "FRAME_BYTES", 2**20)

    async def story() -> None:
        raw, ours = socket.socketpair()
        supervisor: Link[link.ToSupervisor] = await Link.over(ours, link.ToSupervisor)

        def flood() -> None:
            for _ in range(100):
                supervisor.send(link.Unload("u" * 100_000))

        with pytest.raises(LinkEnded, match="does not read"):
            flood()
        raw.close()

    asyncio.run(story())


def test_reading_stops_while_too_much_waits() -> None:
    """A sender faster than its receiver fills the socket, not the receiver's memory; nothing is lost."""

    async def story() -> None:
        worker, supervisor = await both()
        total = 5 * stream.WAITING
        for number in range(total):
            supervisor.send(link.Unload(f"u{number}" + "x" * 1000))
        await asyncio.sleep(0.05)
        assert len(worker._waiting) < total
        for number in range(total):
            message = await asyncio.wait_for(worker.receive(), 5)
            assert isinstance(message, link.Unload)
            assert message.uid.startswith(f"u{number}x")
        supervisor.close()
        worker.close()

    asyncio.run(story())
