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

from uvicorn.config import Config

from fairlead_server.doors.answers import Answer, as_http
from fairlead_server.doors.connection import Connection
from fairlead_server.doors.headers import Headers
from fairlead_server.doors.house import House
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.paths import Target, find_infer
from fairlead_server.doors.seam import UnderWay
from fairlead_server.errors import Kind

_AHEAD = 16  # requests of one connection under way, or answered and not written


class Exchange:
    """One inference on a connection. It stands where uvicorn and the connection have cycles, and so has their names
    for what they ask: whether the body is over, whether the answer is begun, and over."""

    __slots__ = (
        "_connection", "answer", "behind", "chunks", "disconnected", "headers", "keep_alive", "more_body",
        "response_complete", "response_started", "target", "under_way",
    )  # fmt: skip

    def __init__(self, connection: FastConnection, target: Target, headers: Headers, keep_alive: bool) -> None:
        self._connection = connection
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.chunks: list[bytes] = []
        self.behind = 0  # bytes that came before its turn did
        self.under_way: UnderWay | None = None
        self.answer: Answer | None = None
        self.more_body = True
        self.disconnected = self.response_started = self.response_complete = False

    def body(self) -> bytes:
        """Once: the pieces are not kept."""
        chunks, self.chunks = self.chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def answered(self, answer: Answer) -> None:
        if not self.disconnected:
            self.answer = answer
            self._connection.answered(self)


class FastConnection(Connection):
    """`_begun` counts what is under way or waits for its turn to be written; `_whole` has not been begun yet;
    `_behind` are the bytes of bodies whose turn has not come."""

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

    # --- input

    def _take_head(self) -> None:
        exchange = self._plain_infer()
        if exchange is None:
            super()._take_head()
            if type(self._active) is Exchange:  # uvicorn waits for the one before to read on, and this one does not
                self.flow.resume_reading()
            return
        self._infer.gate.enter()
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:
            self._active = exchange
        else:
            self.pipeline.appendleft((exchange, self.app))

    def _plain_infer(self) -> Exchange | None:
        """The exchange, unless there is something about the request that only the application knows how to do."""
        parser = self.parser
        if parser.get_method() != b"POST" or self._infer.gate.full:
            return None
        target = find_infer(self.url)
        if target is None:
            return None
        headers = Headers(self.headers)
        raw = headers.raw
        if (
            b"content-encoding" in raw
            or b"expect" in raw
            or int(raw.get(b"content-length", 0)) > self._infer.body_bytes
        ):
            return None
        keep_alive = parser.should_keep_alive() and (b"connection" not in raw or parser.get_http_version() != "1.0")
        return Exchange(self, target, headers, keep_alive)

    def on_body(self, body: bytes) -> None:
        exchange = self._current
        if type(exchange) is not Exchange:
            super().on_body(body)
            return
        self._body_bytes += len(body)
        exchange.chunks.append(body)
        if exchange is not self._active:
            exchange.behind += len(body)
            self._behind += len(body)
            self._hold_reading()
        if self._body_bytes > self._infer.body_bytes:
            self._refuse(Kind.TOO_LARGE, f"the request body is over the limit of {self._infer.body_bytes} bytes")

    def _is_far_ahead(self) -> bool:
        return self._behind > self._limits.unsent_bytes or super()._is_far_ahead()

    def on_message_complete(self) -> None:
        exchange = self._current
        if type(exchange) is not Exchange:
            super().on_message_complete()
            return
        self._in_message = exchange.more_body = False
        self._current = None
        self._whole.append(exchange)
        self._advance()

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
        while not self.flow.write_paused and not self.transport.is_closing():
            while self._whole and self._begun < _AHEAD:
                self._begin(self._whole.popleft())
            exchange = self._active
            if type(exchange) is not Exchange or exchange.answer is None:
                return
            self._write(exchange, exchange.answer)
            super().on_response_complete()

    def _begin(self, exchange: Exchange) -> None:
        self._begun += 1
        begun = self._infer.begin(exchange.target, exchange.headers, exchange.body(), exchange.answered)
        if isinstance(begun, Answer):
            exchange.answer = begun
        else:
            exchange.under_way = begun

    def _write(self, exchange: Exchange, answer: Answer) -> None:
        last = not exchange.keep_alive or self._ends_with(exchange)
        for part in as_http(answer, last=last):
            self.transport.write(part)
        exchange.response_started = exchange.response_complete = True
        exchange.answer = None
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
