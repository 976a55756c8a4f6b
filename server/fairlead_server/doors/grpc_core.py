"""gRPC's core driven by the loop: calls come out of it, and each is given one answer.

grpc's two public servers spend three times as much processor time as this on a call that answers a constant
(docs/decisions.md): the asyncio one on tasks and on five wake-ups through a socket, the other on handing every event
from thread to thread. Both stand on the layer that is used here, cygrpc, which is theirs and not promised to anybody:
the version of grpcio is pinned, this file alone knows the layer, and its tests are the proof of a new version.

    poller thread --the first event--> loop: takes every event there is --none left--> poller thread

So the threads change twice for a burst, and not twice for an event. It knows no protocol above gRPC's own.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grpc._cython import cygrpc

from fairlead_server import log

POSTED = 64  # calls that may arrive before the loop looks; further ones wait inside gRPC
TURN = 64  # events in one iteration of the loop, which belongs to others too
LAST_S = 10.0  # what gRPC may take to end once nobody is waited for any more

_NEVER = 2.0**62  # gRPC's infinite future is about this or later, in seconds
_DONE = int(cygrpc.CompletionType.operation_complete)
_OVER = int(cygrpc.CompletionType.queue_shutdown)
_OK = int(cygrpc.StatusCode.ok)
STATUS: Mapping[str, int] = {name.upper(): int(code) for name, code in cygrpc.StatusCode.__members__.items()}

Trailers = tuple[tuple[str, str], ...]


class Call:
    """One call with one request message and one answer. Everything here happens on the loop's thread.

    `request` is None where the client sent no message. `gone` may be set: it is called once, when the client has
    cancelled, its deadline has passed or its connection has ended before the answer.
    """

    __slots__ = ("_core", "_event", "_on_out", "_peer", "_taken", "answered", "gone", "over", "request")

    def __init__(self, event: Any, taken: Callable[[Call], None]) -> None:
        self._event = event
        self._core = event.call
        self._taken = taken
        self._on_out: Callable[[], None] | None = None
        self._peer = b""
        self.request: bytes | None = None
        self.gone: Callable[[], object] | None = None
        self.answered = False
        self.over = False

    def begin(self) -> None:
        self._core.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(0),), self._closed)
        self._core.start_server_batch((cygrpc.ReceiveMessageOperation(0),), self._received)

    @property
    def method(self) -> bytes:
        """/SERVICE/METHOD."""
        method: bytes = self._event.call_details.method
        return method

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """Keys are lower-case; those that end in -bin have bytes."""
        pairs: Sequence[tuple[str, str | bytes]] = self._event.invocation_metadata
        return pairs

    @property
    def peer(self) -> bytes:
        """The client's end of the connection. Asking gRPC gives the interpreter's lock away twice, so ask rarely."""
        self._peer = self._peer or self._core.peer()
        return self._peer

    def remaining_s(self) -> float:
        """Until the call's own deadline; infinite where it has none."""
        deadline: float = self._event.call_details.deadline
        return deadline - time.time() if deadline < _NEVER else math.inf

    def answer(self, data: bytes, out: Callable[[], None] | None = None) -> None:
        """`out` is called when the client's flow control has let all of it out, or the call has ended."""
        self._on_out = out
        message = cygrpc.SendMessageOperation(data, 0)
        self._finish(message, cygrpc.SendStatusFromServerOperation((), _OK, b"", 0))

    def refuse(self, status: str, details: bytes, trailers: Trailers = ()) -> None:
        """`status` is a key of STATUS; `details` is UTF-8."""
        self._finish(cygrpc.SendStatusFromServerOperation(trailers, STATUS[status], details, 0))

    def _finish(self, *operations: Any) -> None:
        if self.answered or self.over:
            self._out(None)
            return
        self.answered = True
        self._core.start_server_batch((cygrpc.SendInitialMetadataOperation((), 0), *operations), self._out)

    def _received(self, event: Any) -> None:
        self.request = event.batch_operations[0].message()
        self._taken(self)

    def _closed(self, _event: Any) -> None:
        self.over = True
        gone, self.gone = self.gone, None
        if gone is not None and not self.answered:
            gone()

    def _out(self, _event: Any) -> None:
        out, self._on_out = self._on_out, None
        if out is not None:
            out()


class CoreServer:
    """Made and used inside one running loop. `taken` gets every call whose message is there."""

    def __init__(self, options: Sequence[tuple[str, int]], taken: Callable[[Call], None]) -> None:
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(options), False)
        self._server.register_completion_queue(self._queue)
        self._serving = False
        self._calls_over = asyncio.Event()
        self._queue_over = asyncio.Event()
        self._turn = threading.Lock()

    def start(self, address: str) -> int:
        """Bind and serve; the port. Raises OSError."""
        port: int = self._server.add_http2_port(address.encode())
        if not port:
            raise OSError(f"gRPC could not bind {address}")
        self._server.start()
        self._serving = True
        for _ in range(POSTED):
            self._server.request_call(self._queue, self._queue, self._called)
        self._turn.acquire()
        threading.Thread(target=self._poll, name="grpc", daemon=True).start()
        return port

    async def stop(self, grace_s: float) -> None:
        """No new calls; those under way have `grace_s` to be answered, and are cancelled then."""
        if not self._serving:
            return
        self._serving = False
        self._server.shutdown(self._queue, lambda _event: self._calls_over.set())
        try:
            await asyncio.wait_for(self._calls_over.wait(), grace_s)
        except TimeoutError:
            self._server.cancel_all_calls()  # and every connection is closed
            await asyncio.wait_for(self._calls_over.wait(), LAST_S)
        self._server.destroy()
        self._queue.shutdown()
        await asyncio.wait_for(self._queue_over.wait(), LAST_S)

    def _poll(self) -> None:
        """In a thread of its own: waits, which the loop cannot, for the queue has no descriptor."""
        while not self._queue_over.is_set():
            event = self._queue.poll()
            try:
                self._loop.call_soon_threadsafe(self._drain, event)
            except RuntimeError:  # the loop has ended before us
                return
            self._turn.acquire()

    def _drain(self, event: Any = None) -> None:
        """Take what is there, and look once more in the next iteration: what was just started is often done by then.
        Whatever goes wrong with one event, the others are handled."""
        seen = 0
        event = event or self._queue.poll(0)
        while event.completion_type == _DONE and seen < TURN:
            try:
                event.tag(event)
            except Exception:
                log.error("grpc event failed", trace=traceback.format_exc())
            seen += 1
            if seen < TURN:
                event = self._queue.poll(0)
        if event.completion_type == _OVER:
            self._queue_over.set()
        elif seen:
            self._loop.call_soon(self._drain)
            return
        self._turn.release()

    def _called(self, event: Any) -> None:
        if self._serving:
            self._server.request_call(self._queue, self._queue, self._called)
        if event.success:
            Call(event, self._taken).begin()
