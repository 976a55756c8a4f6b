"""Inference over HTTP with no ASGI task: what most requests are, answered inside the connection.

    head --plain infer?--> Exchange --whole body--> begun --told--> written in its turn
               |
               +--no--> uvicorn's cycle and the ASGI application (compressed, expecting a continue, another path ...)

Requests that were sent ahead of their answers are begun together, so that they can share a run, and answered in
order. This module must not know what a body or an answer means (see `infer`); limits, refusals, times and drain are
the connection's, for both kinds of requests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec
from uvicorn.config import Config

from fairlead_server.doors.answers import Answer, as_http
from fairlead_server.doors.connection import MOST_PIPELINED, Connection
from fairlead_server.doors.heads import END, Head, plain_infer
from fairlead_server.doors.house import House
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.seam import UnderWay
from fairlead_server.errors import Kind

_AHEAD = 16  # requests of one connection under way, or answered and not written


class Exchange(msgspec.Struct, eq=False):
    """One inference on a connection. It stands where uvicorn and the connection have cycles, and so has their names
    for what they ask: whether the body is over, whether the answer is begun, and over."""

    connection: FastConnection
    head: Head
    keep_alive: bool
    body: bytes = b""
    chunks: list[bytes] | None = None  # of a body that is arriving
    behind: int = 0  # bytes that came before its turn did
    under_way: UnderWay | None = None
    answer: Answer | None = None
    more_body: bool = True
    disconnected: bool = False
    response_started: bool = False
    response_complete: bool = False

    def answered(self, answer: Answer) -> None:
        if not self.disconnected:
            self.answer = answer
            self.connection.answered(self)


class FastConnection(Connection):
    """`_begun` counts what is under way or waits for its turn to be written; `_whole` has not been begun yet;
    `_behind` are the bytes of bodies whose turn has not come. `_fresh` begins with the next head, or is empty."""

    def __init__(
        self,
        config: Config,
        house: House,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        infer: InferDoor,
    ) -> None:
        super().__init__(config, house, app_state, _loop)
        self._infer = infer
        self._begun = self._behind = 0
        self._whole: deque[Exchange] = deque()
        self._fresh = b""

    # --- input

    def data_received(self, data: bytes) -> None:
        self._fresh = b""
        if not self._in_message and not self._deaf:
            self._fresh = data = self._take_known(data)
        if data:
            super().data_received(data)

    def _take_known(self, data: bytes) -> bytes:
        """Take the whole requests whose heads were parsed before; what is left is the parser's."""
        at, end = 0, len(data)
        while at < end:
            body = data.find(END, at) + len(END)
            head = self._infer.heads.find(data[at:body])
            if head is None or head.length is None or body + head.length > end or self._needs_parser():
                break
            at = body + head.length
            self._since = self._now()
            exchange = self._line_up(head)
            if exchange is not self._active:
                self._count_behind(exchange, head.length)
            self._arrived(exchange, data[body:at])
        return data[at:] if at else data

    def _needs_parser(self) -> bool:
        """Behind a last message, which the parser guards, and where there is something to refuse."""
        if self.cycle is not None and not self.cycle.keep_alive:
            return True
        return len(self.pipeline) >= MOST_PIPELINED or self._infer.gate.full or self.transport.closing

    def _take_head(self) -> None:
        fresh, self._fresh = self._fresh, b""
        head = self._plain_infer()
        if head is None or self._infer.gate.full:
            super()._take_head()
            if type(self._active) is Exchange:  # uvicorn waits for the one before to read on, and this one does not
                self.flow.resume_reading()
            return
        self._line_up(head)
        if fresh.startswith(b"POST ") and END in fresh:
            self._infer.heads.keep(fresh[: fresh.index(END) + len(END)], head)

    def _plain_infer(self) -> Head | None:
        parser = self.parser
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        return plain_infer(
            parser.get_method(), self.url, self.headers, keep_alive=keep_alive, longest=self._infer.body_bytes
        )

    def _line_up(self, head: Head) -> Exchange:
        self._infer.gate.enter()
        exchange = Exchange(self, head, head.keep_alive)
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:
            self._active = exchange
        else:
            self.pipeline.appendleft((exchange, self.app))
            self._hold_reading()
        return exchange

    def on_body(self, body: bytes) -> None:
        exchange = self._current
        if type(exchange) is not Exchange:
            super().on_body(body)
            return
        self._body_bytes += len(body)
        if exchange.chunks is None:
            exchange.chunks = []
        exchange.chunks.append(body)
        if exchange is not self._active:
            self._count_behind(exchange, len(body))
        if self._body_bytes > self._infer.body_bytes:
            self._refuse(Kind.TOO_LARGE, f"the request body is over the limit of {self._infer.body_bytes} bytes")

    def _is_far_ahead(self) -> bool:
        return self._behind > self._limits.unsent_bytes or super()._is_far_ahead()

    def on_message_complete(self) -> None:
        exchange = self._current
        if type(exchange) is not Exchange:
            super().on_message_complete()
            return
        self._in_message = False
        self._current = None
        chunks, exchange.chunks = exchange.chunks or [], None
        self._arrived(exchange, chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _arrived(self, exchange: Exchange, body: bytes) -> None:
        exchange.body = body
        exchange.more_body = False
        if self._begun or self.flow.write_paused:  # others come first, or nothing may be begun
            self._whole.append(exchange)
            self._advance()
            return
        self._begin(exchange)
        if exchange.answer is not None:
            self._advance()

    def _count_behind(self, exchange: Exchange, size: int) -> None:
        exchange.behind += size
        self._behind += size
        self._hold_reading()

    # --- answers

    def answered(self, exchange: Exchange) -> None:
        """Called once for each that was begun and not abandoned."""
        if exchange is self._active:
            self._advance()

    def on_response_complete(self) -> None:
        """A cycle's: it may be an exchange's turn now."""
        super().on_response_complete()
        self._advance()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    def _advance(self) -> None:
        """Begin what may be begun, and write what may be written, while the client takes it."""
        while not self.flow.write_paused and not self.transport.closing:
            while self._whole and self._begun < _AHEAD:
                self._begin(self._whole.popleft())
            exchange = self._active
            if type(exchange) is not Exchange or exchange.answer is None:
                return
            self._write(exchange, exchange.answer)
            super().on_response_complete()

    def _begin(self, exchange: Exchange) -> None:
        self._begun += 1
        head, body, exchange.body = exchange.head, exchange.body, b""
        begun = self._infer.begin(head.target, head.headers, body, exchange.answered)
        if isinstance(begun, Answer):
            exchange.answer = begun
        else:
            exchange.under_way = begun

    def _write(self, exchange: Exchange, answer: Answer) -> None:
        last = not exchange.keep_alive or self._ends_with(exchange)
        for part in as_http(answer, last=last):
            self.transport.write(part)
        exchange.response_started = exchange.response_complete = True
        exchange.answer = exchange.under_way = None  # an idle connection keeps its last exchange, and nothing of it
        self._begun -= 1
        self._infer.gate.leave()
        if last:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if type(cycle) is Exchange:
            self._active = cycle
            self._behind -= cycle.behind
        else:
            super()._start_asgi_task(cycle, app)

    # --- the end

    def connection_lost(self, exc: Exception | None) -> None:
        waiting = [cycle for cycle, _ in self.pipeline]
        self._whole.clear()
        if type(self.cycle) is Exchange:  # uvicorn would wake it as a cycle
            self.cycle = None
        super().connection_lost(exc)
        for cycle in waiting:
            self._abandon(cycle)

    def _abandon(self, cycle: Any) -> None:
        if type(cycle) is not Exchange:
            super()._abandon(cycle)
        elif not cycle.response_complete and not cycle.disconnected:
            cycle.disconnected = True
            self._infer.gate.leave()
            if cycle.under_way is not None:
                cycle.under_way.cancel()
