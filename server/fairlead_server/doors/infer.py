"""One inference over HTTP between its body and its answer: what both ways through the HTTP door share.

    body -> decode -> terms -> service ....told.... encode -> answer
              400      400     by kind

This module must not know how the body came, nor how the answer goes: it knows neither ASGI nor connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fairlead_server.doors.answers import JSON, Answer, fault_answer
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.headers import Headers
from fairlead_server.doors.heads import Heads
from fairlead_server.doors.paths import Target
from fairlead_server.doors.seam import InferenceService, UnderWay, terms_of
from fairlead_server.errors import ServingError
from fairlead_server.models.inference import NO_TERMS, InferRequest, InferResponse, Outcome, Terms
from fairlead_server.protocols import v2_binary

_LENGTH = "inference-header-content-length"
_LENGTH_NAME = _LENGTH.encode()
_RAW = (b"content-type", b"application/octet-stream")

Answered = Callable[[Answer], None]


class InferDoor:
    """`gate` holds every request for as long as it lasts, which is its caller's to see
    to; what no version was asked for is noted there."""

    def __init__(self, service: InferenceService, gate: Gate, body_bytes: int) -> None:
        self.gate = gate
        self.body_bytes = body_bytes
        self.heads = Heads()
        self._service = service

    def begin(self, target: Target, headers: Headers, body: bytes, answered: Answered) -> UnderWay | Answer:
        """The answer, where it is known at once; else `answered` gets it later, once, unless this is cancelled."""
        try:
            request, terms = self._read(headers, body)

            def tell(outcome: Outcome) -> None:
                answered(_answer(outcome, request, target))

            return self._service.submit(target.model, target.version, request, headers, terms, tell)
        except Exception as fault:
            return fault_answer(fault, target.model)

    def _read(self, headers: Headers, body: bytes) -> tuple[InferRequest, Terms]:
        try:
            request = v2_binary.decode_request(body, headers.get(_LENGTH))
            asks = headers.timed or request.parameters
            return request, terms_of(request.parameters, headers, time.monotonic()) if asks else NO_TERMS
        except ServingError as error:
            self.gate.note(error.kind)
            raise


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
