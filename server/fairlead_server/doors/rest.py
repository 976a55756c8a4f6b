"""The Open Inference Protocol over HTTP, as an ASGI application without a framework.

    path -> target -> body -> decode -> service -> encode -> answer
      404     405   413,400    400      by kind

Errors are JSON ({"error": "..."}). A fault of ours is logged with its trace, and told without it.
This module must not know connections: limits of time and of headers are the connection's.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fairlead_server import log
from fairlead_server.doors.answers import Answer, error_answer, json_answer
from fairlead_server.doors.body import ClientGone, Receive, read_body
from fairlead_server.doors.codes import INTERNAL_MESSAGE
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.paths import METHODS, Action, Target, find
from fairlead_server.doors.seam import InferenceService, terms_of
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse
from fairlead_server.protocols import v2_binary

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEADER_LENGTH = "inference-header-content-length"
_JOINED_BYTES = 256 * 1024  # an answer up to this size is copied together; beyond it a copy costs more than a write


class RestApp:
    def __init__(self, service: InferenceService, gate: Gate, body_bytes: int) -> None:
        self._service = service
        self._gate = gate
        self._body_bytes = body_bytes

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ServingError as error:
            answer = error_answer(error)
        except ClientGone:
            return
        except Exception:
            log.error("request failed", path=scope["path"], trace=traceback.format_exc())
            answer = error_answer(ServingError(Kind.INTERNAL, INTERNAL_MESSAGE))
        await _send(answer, send)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        target = find(scope["raw_path"])
        allowed = METHODS[target.action]
        if scope["method"] not in allowed:
            error = ServingError(Kind.NOT_ALLOWED, f"this path takes {' or '.join(allowed)}")
            return error_answer(error, headers=[(b"allow", ", ".join(allowed).encode())])
        if target.action is Action.INFER:
            with self._gate:
                return await self._infer(target, scope, receive)
        return self._look_up(target)

    def _look_up(self, target: Target) -> Answer:
        service, model, version = self._service, target.model, target.version
        match target.action:
            case Action.LIVE:
                return _yes_or_no("live", service.live())
            case Action.READY:
                return _yes_or_no("ready", service.ready())
            case Action.SERVER:
                return json_answer(200, service.server_metadata())
            case Action.MODEL:
                return json_answer(200, service.model_metadata(model, version))
            case _:
                return _yes_or_no("ready", service.model_ready(model, version), name=model)

    async def _infer(self, target: Target, scope: Mapping[str, Any], receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await read_body(receive, headers, self._body_bytes)
            request = v2_binary.decode_request(body, headers.get(HEADER_LENGTH))
            terms = terms_of(request.parameters, headers, asyncio.get_running_loop().time())
        except ServingError as error:
            self._gate.note(error.kind)
            raise
        response = await self._service.infer(target.model, target.version, request, headers, terms)
        return _inferred(response, request)


def _inferred(response: InferResponse, request: InferRequest) -> Answer:
    parts, header_length = v2_binary.encode_response(response, request)
    if header_length is None:
        return Answer(200, [(b"content-type", b"application/json")], parts)
    return Answer(
        200,
        [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH.encode(), b"%d" % header_length)],
        parts,
    )


def _yes_or_no(word: str, yes: bool, **more: str) -> Answer:
    return json_answer(200 if yes else 503, {**more, word: yes})


async def _send(answer: Answer, send: Send) -> None:
    length = answer.length
    headers = [*answer.headers, (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    parts = [b"".join(answer.parts)] if length <= _JOINED_BYTES else [part for part in answer.parts if len(part)]
    for at, part in enumerate(parts, start=1):
        await send({"type": "http.response.body", "body": part, "more_body": at < len(parts)})
