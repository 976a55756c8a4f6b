"""The stream between a supervisor and one child: frames on a Unix socket, four bytes of length and then msgpack.

    link = await Link.over(sock, ToWorker)     (ToSupervisor, ToFetcher, FromFetcher at the other ends)
    link.send(message)                         never waits; LinkEnded once the other end is gone or stuck
    message = await link.receive()             None once the other end is gone

The end of the stream is the end of the child: a child whose supervisor is gone has nothing left to obey. It carries
any msgspec structs, and knows none of the messages.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from typing import Any, Generic, TypeVar, cast

import msgspec

FRAME_BYTES = 64 * 2**20  # the largest frame, and the most that may wait unsent
WAITING = 1024  # messages that may wait to be received; beyond it reading stops

T = TypeVar("T")


class LinkEnded(Exception):
    """The other end is gone, does not read any more, or sent what is no frame of ours."""


class Link(asyncio.Protocol, Generic[T]):
    """One end of the socket, for one loop. `T` is what arrives. Created by `over`."""

    def __init__(self, wanted: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(wanted)
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()
        self._waiting: collections.deque[T] = collections.deque()
        self._arrived = asyncio.Event()
        self._lost = asyncio.Event()
        self._paused = False
        self.ended = False
        self.fault = ""  # why it ended, when it was not a plain end of the stream

    @classmethod
    async def over(cls, sock: socket.socket, wanted: Any) -> Link[Any]:
        """Take a connected Unix stream socket over. `wanted` is the union of messages that may arrive."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(wanted), sock=sock)
        return link

    def send(self, message: msgspec.Struct) -> None:
        body = self._encoder.encode(message)
        if len(body) > FRAME_BYTES:
            raise ValueError(f"a {type(message).__name__} of {len(body)} bytes is beyond the limit of {FRAME_BYTES}")
        if not self.ended and self._transport.get_write_buffer_size() + len(body) > FRAME_BYTES:
            self._end("the other end does not read")
        if self.ended:
            raise LinkEnded(self.fault or "the other end is gone")
        self._transport.write(len(body).to_bytes(4, "big") + body)

    async def receive(self) -> T | None:
        """The next message; None when the stream has ended and all that came before has been received."""
        while not self._waiting:
            if self.ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        if self._paused and len(self._waiting) <= WAITING // 2 and not self.ended:
            self._paused = False
            self._transport.resume_reading()
        return message

    def close(self) -> None:
        """Send what waits, then end the stream."""
        self.ended = True
        self._transport.close()
        self._arrived.set()

    async def closed(self, limit_s: float) -> None:
        """Close, and return when all that was sent is out, or after `limit_s`."""
        self.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), limit_s)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self._buffer += data
        try:
            self._take_frames()
        except (msgspec.DecodeError, ValueError) as fault:
            self._end(f"a broken frame: {fault}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._lost.set()
        self._arrived.set()

    def _take_frames(self) -> None:
        start, end = 0, len(self._buffer)
        while end - start >= 4:
            size = int.from_bytes(self._buffer[start : start + 4], "big")
            if size > FRAME_BYTES:
                raise ValueError(f"{size} bytes, beyond the limit of {FRAME_BYTES}")
            if end - start < 4 + size:
                break
            self._waiting.append(self._decoder.decode(memoryview(self._buffer)[start + 4 : start + 4 + size]))
            start += 4 + size
        del self._buffer[:start]
        self._arrived.set()
        if len(self._waiting) > WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _end(self, fault: str) -> None:
        self.ended, self.fault = True, fault
        self._transport.abort()
        self._arrived.set()
