"""One HTTP connection: uvicorn's, with the limits, the patience and the leave-taking that are ours.

uvicorn keeps the parser, the pipeline and the cycle of request and response. Here are: the size of
a head, the time a request may take to arrive, the time a connection may idle or leave answers
untaken, its age, refusals that stay behind the answers before them, the cancelling of work whose
client has left, and drain (rule 14). Times are checked by the server's sweep, not by timers, which
would cost every request two.

uvicorn is pinned exactly: this class overrides parts that it does not promise to keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fairlead_server.doors.answers import as_http, error_answer
from fairlead_server.doors.codes import HTTP, HTTP_HEAD_TOO_LARGE
from fairlead_server.doors.house import House
from fairlead_server.doors.outlet import Outlet
from fairlead_server.errors import Kind, ServingError
from fairlead_server.settings import Limits

LINGER_S = 2.0  # how long input is thrown away after our last words
_PIPELINE = 16  # requests read ahead of their answers, before reading stops
MOST_PIPELINED = 256  # what one read may bring at most
_FRAMING = 8  # bytes on the wire for a byte of body: one-byte chunks take 6


def _new_parser(connection: Connection) -> Any:
    """A strict one. uvicorn's lets bytes follow a message that says `Connection: close`; here they are an error."""
    return httptools.HttpRequestParser(connection)


class Connection(HttpToolsProtocol):  # type: ignore[misc]
    """`_current` is the cycle of the message being read, `_active` the one being answered."""

    def __init__(
        self, config: Config, house: House, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, house, app_state, _loop)
        self.parser = _new_parser(self)
        self._house = house
        self._limits: Limits = house.limits
        self._now: Callable[[], float] = self.loop.time
        self._since = self._now()
        jitter = 1 + random.random() / 10  # noqa: S311 - spreads load, guards nothing
        self._aged_at = self._since + house.limits.age_s * jitter
        self._in_head = self._in_message = self._deaf = False
        self._wire_bytes = self._body_bytes = 0
        self._reads = self._read_bytes = self._begun_in = 0
        self.cycle: Any = None
        self._current: Any = None
        self._active: Any = None
        self._task: asyncio.Task[None] | None = None
        self._last_words: bytes | None = None

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=self._limits.unsent_bytes)
        super().connection_made(Outlet(transport, self._now, self._arriving))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pipeline.clear()
        self._abandon(self._active)
        self._house.left()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._hold_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._hold_reading()

    def _hold_reading(self) -> None:
        """Take no more requests while answers pile up, or requests do (uvicorn reads on for each that it starts)."""
        self.transport.hold_reading(self.flow.write_paused or self._is_far_ahead())

    def _is_far_ahead(self) -> bool:
        return len(self.pipeline) >= _PIPELINE

    # --- input

    def data_received(self, data: bytes) -> None:
        if self._deaf or self.transport.is_closing():
            return
        before, rest = self._in_message, data
        self._reads += 1
        self._read_bytes = len(data)
        while rest and not self._deaf:
            try:
                self.parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as offer:
                rest = self._declined(rest[offer.args[0] :])
            except httptools.HttpParserError as error:
                self._refuse(Kind.INVALID, f"this is not HTTP: {error}")
        if before and self._in_message:
            self._weigh(len(data))

    def _declined(self, rest: bytes) -> bytes:
        """The message again without its offer to upgrade (Java's client makes one with every request), for the parser
        has passed over its body."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = _new_parser(self)
        head = [method, b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name not in (b"upgrade", b"http2-settings"):
                head += (name, b": ", value, b"\r\n")
        return b"".join([*head, b"\r\n", rest])

    def on_message_begin(self) -> None:
        self.url: bytes = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._in_head = self._in_message = True
        self._wire_bytes = self._body_bytes = 0
        self._begun_in = self._reads
        self._current = None
        self._since = self._now()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which nobody reads
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_is_too_large():
            self._refuse(Kind.TOO_LARGE, self._head_limit(), HTTP_HEAD_TOO_LARGE)
        elif len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(Kind.OVERLOADED, f"more than {MOST_PIPELINED} requests were sent ahead of their answers")
        elif self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(Kind.NOT_ALLOWED, "this is no proxy: CONNECT is not done here")
        elif not self._deaf:
            self._take_head()
            self._current = self.cycle
            if self.pipeline:
                self._hold_reading()

    def _take_head(self) -> None:
        """The message being read becomes uvicorn's: a scope, a cycle and, in its turn, a task."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = any(n == b"expect" and v.lower() == b"100-continue" for n, v in headers)
        super().on_headers_complete()

    def _head_is_too_large(self) -> bool:
        """Counted only where it can be: what came in one read of no more bytes is within the limit."""
        if self._begun_in == self._reads and self._read_bytes <= self._limits.header_bytes:
            return False
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return size > self._limits.header_bytes

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._current is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        if self._current is not None:
            super().on_message_complete()
        self._current = None

    # --- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        self._task = self.loop.create_task(cycle.run_asgi(self._watched(cycle, app)))
        self.tasks.add(self._task)
        self._task.add_done_callback(self.tasks.discard)

    def _watched(self, cycle: RequestResponseCycle, app: Any) -> Callable[..., Awaitable[None]]:
        async def run(scope: Any, receive: Any, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
            async def watched_send(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start" and self._ends_with(cycle):
                    cycle.keep_alive = False
                await send(message)

            try:
                await app(scope, receive, watched_send)
            except asyncio.CancelledError:
                if not cycle.disconnected:
                    raise

        return run

    def _ends_with(self, cycle: RequestResponseCycle) -> bool:
        """Whether the connection ends with this answer. Requests already read behind it are answered first."""
        if self.pipeline or self._last_words:
            return False
        return cycle.more_body or self._deaf or self._house.leaving or self._now() > self._aged_at

    def on_response_complete(self) -> None:
        self._active = self._task = None
        self._since = self._now()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            self._hold_reading()
        elif self._last_words:
            self._say_last_words()

    # --- refusals below HTTP

    def _refuse(self, kind: Kind, message: str, status: int | None = None) -> None:
        """Answer the message being read with an error and end, once the answers before it are out."""
        self._house.gate.note(kind)
        self._deaf = True
        answer = error_answer(ServingError(kind, message), status=status or HTTP[kind])
        self._last_words = b"".join(as_http(answer, last=True))
        unfinished, self._current = self._current, None
        if unfinished is not None:
            self._abandon(unfinished)
            if unfinished is self._active:
                self._active = None
                if unfinished.response_started:  # it was being answered already: nothing may be added
                    self.transport.close()
                    return
            with contextlib.suppress(ValueError):
                self.pipeline.remove((unfinished, self.app))
        if self._active is None:
            self._say_last_words()

    def _say_last_words(self) -> None:
        words, self._last_words = self._last_words, None
        self.transport.write(words)
        self.transport.close()

    def _abandon(self, cycle: Any) -> None:
        """The cycle's answer is wanted no more: end the work on it."""
        if cycle is None or cycle.response_complete:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle is self._active and self._task is not None:
            self._task.cancel()

    def _weigh(self, size: int) -> None:
        """Bound what one message may bring besides its body: its head, its chunks' framing, its trailers."""
        self._wire_bytes += size
        if self._in_head and self._wire_bytes > self._limits.header_bytes:
            self._refuse(Kind.TOO_LARGE, self._head_limit(), HTTP_HEAD_TOO_LARGE)
        elif self._wire_bytes > _FRAMING * self._body_bytes + 2 * self._limits.header_bytes + 2**20:
            self._refuse(Kind.TOO_LARGE, "the request is mostly chunk framing or trailers")

    def _head_limit(self) -> str:
        return f"the request line and headers are over the limit of {self._limits.header_bytes} bytes"

    def _arriving(self) -> bool:
        return self._in_message or self._deaf

    # --- time

    def check(self, now: float) -> None:
        """Called by the server's sweep."""
        outlet: Outlet = self.transport
        if outlet.nothing_taken_for(now) > self._limits.write_s:
            outlet.abort()
        elif outlet.lingering_since is not None:
            if now - outlet.lingering_since > LINGER_S:
                outlet.abort()
        elif outlet.is_closing():
            return
        elif self._in_message:
            self._check_arrival(now)
        elif self._active is None and now - self._since > self._idle_limit(now) and not outlet.has_unread():
            outlet.close()

    def _check_arrival(self, now: float) -> None:
        ours_to_wait = self.transport.reading_paused or self._active is not self._current
        if ours_to_wait:
            self._since = now
        elif now - self._since > self._limits.read_s:
            self._refuse(Kind.SLOW_CLIENT, f"the request did not arrive within {self._limits.read_s:g} s")

    def _idle_limit(self, now: float) -> float:
        """The limit, counted like `_since`. In drain, what idles gets the time for one more request."""
        if self._house.leaving:
            waited: float = max(0.0, self._house.leaving_since - self._since)
            return min(self._limits.idle_s, waited + self._house.last_request_s)
        return self._limits.idle_s
