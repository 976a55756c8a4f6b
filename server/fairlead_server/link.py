"""The messages between a supervisor and its children: entries down, states and counters up.

Frames on a Unix stream socket: four bytes of length (big endian), then msgpack. Both ends are the
same build, so there is no version in it. The end of the stream is the end of the child: a child
whose supervisor is gone has nothing left to obey.

    link = await Link.over(sock, ToWorker)     (ToSupervisor, ToFetcher, FromFetcher at the other ends)
    link.send(message)                         never waits; LinkEnded once the other end is gone or stuck
    message = await link.receive()             None once the other end is gone
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from typing import Any, Generic, TypeVar, cast

import msgspec

from fairlead_server.models.entry import WorkerEntry as WorkerEntry
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature
from fairlead_server.models.states import State

# --- down: supervisor -> worker


class Load(msgspec.Struct, frozen=True, tag=True):
    """Open and warm one version. `uid` names (digest, settings): the same version with other bytes
    or settings is another uid. Without a profile the worker measures one (a trial); with one it trusts it."""

    uid: str
    model: str
    version: str
    path: str  # a verified directory
    digest: str
    settings: VersionSettings
    profile: Profile | None = None


class Unload(msgspec.Struct, frozen=True, tag=True):
    """Close this version as soon as no effective route and no lease needs it."""

    uid: str


class Apply(msgspec.Struct, frozen=True, tag=True):
    """The entries that changed since the last Apply; None leaves a model out."""

    generation: int
    entries: dict[str, WorkerEntry | None]


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Accept nothing new, answer what is here, then end with status 0."""

    grace_s: float
    idle_s: float


ToWorker = Load | Unload | Apply | Drain

# --- up: worker -> supervisor


class Hello(msgspec.Struct, frozen=True, tag=True):
    pid: int


class Moved(msgspec.Struct, frozen=True, tag=True):
    """A version changed its state here. `final`: trying again unasked would fail again."""

    uid: str
    state: State
    since: float
    reason: str = ""
    final: bool = False
    signature: Signature | None = None
    profile: Profile | None = None


class Applied(msgspec.Struct, frozen=True, tag=True):
    """The generation that was taken in. `pending` names the models whose wanted route is not in effect
    yet (the last good one is), with the reason; `routes` the effective weights of those that changed."""

    generation: int
    pending: dict[str, str]
    routes: dict[str, dict[str, float] | None]


class Accepting(msgspec.Struct, frozen=True, tag=True):
    """The doors are open, or closed."""

    open: bool


class Histogram(msgspec.Struct, frozen=True):
    """Cumulative over the worker's life; `counts` has one more place than the bounds (+Inf)."""

    counts: list[int]
    sum: float


class VersionCounts(msgspec.Struct, frozen=True):
    """Cumulative over the worker's life, but for the gauges `queued_rows` and `leases`. Microseconds."""

    model: str
    version: str
    requests: int
    failures: dict[str, int]
    rows: int
    runs: int
    request_us: int
    queue_us: int
    input_us: int
    infer_us: int
    output_us: int
    latency: Histogram
    batch_rows: Histogram
    queued_rows: int
    leases: int


class Counts(msgspec.Struct, frozen=True, tag=True):
    """Sent every second, and once before the worker ends. It is the heartbeat too."""

    versions: dict[str, VersionCounts]  # by uid
    refused: dict[str, int]  # requests that reached no version, by error kind
    connections: int
    rss_bytes: int
    loop_lag_ms: float  # the worst of the last second


ToSupervisor = Hello | Moved | Applied | Accepting | Counts

# --- the fetcher


class Fetch(msgspec.Struct, frozen=True, tag=True):
    id: int
    source: str
    digest: str | None


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Evict every cached digest that is not in `keep`, oldest first, until the cache fits."""

    keep: list[str]


class Fetched(msgspec.Struct, frozen=True, tag=True):
    """`defaults` is what the model's folder says of its settings (fairlead.yaml). `copied`: it was not in the
    cache before, so there was room on the disk for it."""

    id: int
    path: str
    digest: str
    bytes: int
    defaults: dict[str, Any]
    copied: bool = False


class FetchFailed(msgspec.Struct, frozen=True, tag=True):
    """`condition` is "" or a named state of the replica, such as DiskFull."""

    id: int
    reason: str
    retry: bool
    condition: str = ""


ToFetcher = Fetch | Forget
FromFetcher = Fetched | FetchFailed

# --- the frames

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
