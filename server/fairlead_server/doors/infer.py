"""One inference over HTTP between its body and its answer: what both ways through the HTTP door share.

    body -> decode -> terms -> service ....told.... encode -> answer
              400      400     by kind

This module must not know how the body came, nor how the answer goes: it knows neither ASGI nor connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fairlead_server.doors.answers import JSON, Answer, fault_answer
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.headers import Headers
from fairlead_server.doors.heads import Heads
from fairlead_server.doors.paths import Target
from fairlead_server.doors.seam import InferenceService, UnderWay, terms_of
from fairlead_server.errors import ServingError
from fairlead_server.models.inference import NO_TERMS, InferRequest, InferResponse, Outcome
from fairlead_server.protocols import v2_binary

_LENGTH = "inference-header-content-length"
_LENGTH_NAME = _LENGTH.encode()
_RAW = (b"content-type", b"application/octet-stream")

Answered = Callable[[Answer], None]
Result = TypeVar("Result")


class InferDoor:
    """`gate` holds every request for as long as it lasts, which is its caller's to see to; what no version was asked
    for is noted there. Long texts are read and written on one thread beside the loop."""

    def __init__(self, service: InferenceService, gate: Gate, body_bytes: int) -> None:
        self.gate = gate
        self.body_bytes = body_bytes
        self.heads = Heads()
        self._service = service
        self._texts = ThreadPoolExecutor(1, "texts")

    def begin(self, target: Target, headers: Headers, body: bytes, answered: Answered) -> UnderWay | Answer:
        """The answer, where it is known at once; else `answered` gets it later, once, unless this is cancelled."""
        length, arrived = headers.get(_LENGTH), time.monotonic()
        if v2_binary.is_long(body, length):
            read = self._beside(v2_binary.decode_request, body, length)
            return _ReadBeside(read, lambda: self._go_on(read, target, headers, arrived, answered))
        try:
            request = v2_binary.decode_request(body, length)
        except Exception as fault:
            return self._unread(fault, target)
        return self._submit(target, headers, request, arrived, answered)

    def _go_on(
        self, read: asyncio.Future[InferRequest], target: Target, headers: Headers, arrived: float, answered: Answered
    ) -> UnderWay | None:
        """The text is read, and nobody has left meanwhile."""
        fault = read.exception()
        if fault is None:
            begun = self._submit(target, headers, read.result(), arrived, answered)
        else:
            begun = self._unread(fault, target)
        if not isinstance(begun, Answer):
            return begun
        answered(begun)
        return None

    def _submit(
        self, target: Target, headers: Headers, request: InferRequest, arrived: float, answered: Answered
    ) -> UnderWay | Answer:
        def tell(outcome: Outcome) -> None:
            if isinstance(outcome, InferResponse) and v2_binary.is_long_answer(outcome, request):
                written = self._beside(_answer, outcome, request, target)
                written.add_done_callback(lambda written: answered(written.result()))
            else:
                answered(_answer(outcome, request, target))

        try:
            terms = NO_TERMS
            if headers.timed or request.parameters:
                terms = terms_of(request.parameters, headers, arrived)
        except ServingError as error:
            return self._unread(error, target)
        try:
            return self._service.submit(target.model, target.version, request, headers, terms, tell)
        except Exception as fault:
            return fault_answer(fault, target.model)

    def _unread(self, fault: BaseException, target: Target) -> Answer:
        if isinstance(fault, ServingError):
            self.gate.note(fault.kind)
        return fault_answer(fault, target.model)

    def _beside(self, work: Callable[..., Result], *arguments: Any) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._texts, work, *arguments)


class _ReadBeside:
    """An inference whose text is being read beside the loop, and then as any other."""

    def __init__(self, read: asyncio.Future[InferRequest], go_on: Callable[[], UnderWay | None]) -> None:
        self._read = read
        self._go_on = go_on
        self._under_way: UnderWay | None = None
        self._cancelled = False
        read.add_done_callback(self._done)

    def cancel(self) -> None:
        self._cancelled = True
        self._read.cancel()
        if self._under_way is not None:
            self._under_way.cancel()

    def _done(self, _read: object) -> None:
        if not self._cancelled:
            self._under_way = self._go_on()


def _answer(outcome: Outcome, request: InferRequest, target: Target) -> Answer:
    if not isinstance(outcome, InferResponse):
        return fault_answer(outcome, target.model)
    try:
        parts, json_length = v2_binary.encode_response(outcome, request)
    except Exception as fault:
        return fault_answer(fault, target.model)
    if json_length is None:
        return Answer(200, (JSON,), parts)
    return Answer(200, (_RAW, (_LENGTH_NAME, b"%d" % json_length)), parts)
