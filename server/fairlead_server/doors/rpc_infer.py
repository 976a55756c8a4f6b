"""One inference over gRPC, from its message to its answer, with no task of its own.

    room for the answer? -> decode -> terms -> service ....told.... encode -> answer
        SLOW_CLIENT         INVALID   INVALID    by kind

This module must not know grpc: a call is what next door (`grpc_core`) makes of it.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Callable

from fairlead_server import log
from fairlead_server.doors.codes import GRPC, INTERNAL_MESSAGE
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.grpc_core import Call, Trailers
from fairlead_server.doors.seam import InferenceService, UnderWay, terms_of
from fairlead_server.doors.untaken import Untaken
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferResponse, Outcome, Terms
from fairlead_server.protocols import v2_proto

_LONGEST_DETAILS = 1500  # bytes: clients refuse trailers over 8 KiB, and gRPC may write one byte as three


class RpcInferDoor:
    """Made and used inside one running loop. `gate` holds every call for as long as it lasts; what no version was
    asked for is noted there."""

    def __init__(self, service: InferenceService, gate: Gate, untaken: Untaken) -> None:
        self._service = service
        self._gate = gate
        self._untaken = untaken
        self._loop = asyncio.get_running_loop()

    def take(self, call: Call, data: bytes) -> None:
        """Answers or refuses the call, now or later; a client that leaves before takes its request out of the queue."""
        if call.over:
            return
        try:
            self._gate.__enter__()
        except ServingError as error:
            refuse(call, error)
            return
        if self._untaken.has_room(call):
            self._begin(call, data)
        else:
            call.gone = self._leaving(self._loop.create_task(self._wait(call, data)))

    async def _wait(self, call: Call, data: bytes) -> None:
        try:
            await self._untaken.room(call)
        except ServingError as error:
            if not call.over:
                self._gate.note(error.kind)
                self._refuse(call, error)
        else:
            if not call.over:
                self._begin(call, data)

    def _begin(self, call: Call, data: bytes) -> None:
        def tell(outcome: Outcome) -> None:
            self._tell(call, outcome)

        try:
            model, version, request = v2_proto.decode_request(data)
            headers = {key: value for key, value in call.metadata if isinstance(value, str)}
            now = self._loop.time()
            terms = _sooner(terms_of(request.parameters, headers, now), call, now)
        except Exception as fault:
            if isinstance(fault, ServingError):
                self._gate.note(fault.kind)
            self._refuse(call, fault)
            return
        try:
            under_way = self._service.submit(model, version, request, headers, terms, tell)
        except Exception as fault:
            self._refuse(call, fault)
        else:
            call.gone = self._leaving(under_way)

    def _tell(self, call: Call, outcome: Outcome) -> None:
        if call.over:
            return  # it has left
        if not isinstance(outcome, InferResponse):
            self._refuse(call, outcome)
            return
        try:
            answer = v2_proto.encode_response(outcome)
        except Exception as fault:
            self._refuse(call, fault)
        else:
            self._leave()
            call.answer(answer, self._untaken.answered(call, len(answer)))

    def _refuse(self, call: Call, fault: BaseException) -> None:
        self._leave()
        refuse(call, fault)

    def _leaving(self, under_way: UnderWay) -> Callable[[], None]:
        """What to do when the client goes; whoever comes later finds the call over, and does nothing."""

        def gone() -> None:
            under_way.cancel()
            self._leave()

        return gone

    def _leave(self) -> None:
        self._gate.__exit__(None, None, None)


def refuse(call: Call, fault: BaseException) -> None:
    """With the status of its kind; a fault of ours is logged and not shown."""
    if isinstance(fault, ServingError):
        error = fault
    else:
        log.error("request failed", trace="".join(traceback.format_exception(fault)))
        error = ServingError(Kind.INTERNAL, INTERNAL_MESSAGE)
    details = error.message.encode()[:_LONGEST_DETAILS].decode("utf-8", "ignore").encode()
    trailers: Trailers = ()
    if error.retry_after is not None:
        trailers = (("grpc-retry-pushback-ms", str(round(error.retry_after * 1000))),)
    call.refuse(GRPC[error.kind], details, trailers)


def _sooner(asked: Terms, call: Call, now: float) -> Terms:
    """With the call's own deadline, where that is the nearer one."""
    remaining = call.remaining_s()
    if remaining == math.inf or (asked.deadline is not None and asked.deadline <= now + remaining):
        return asked
    return Terms(now + remaining, asked.priority)
