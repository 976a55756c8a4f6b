"""The Open Inference Protocol over HTTP, as an ASGI application without a framework.

    path -> target -> body -> decode -> service -> encode -> answer
      404     405   413,400    400      by kind

Errors are JSON ({"error": "..."}). A fault of ours is logged with its trace, and told without it.
This module must not know connections: limits of time and of headers are the connection's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fairlead_server.doors.answers import JOINED_BYTES, Answer, error_answer, fault_answer, json_answer
from fairlead_server.doors.body import ClientGone, Receive, read_body
from fairlead_server.doors.headers import Headers
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.paths import METHODS, Action, Target, find
from fairlead_server.doors.seam import InferenceService
from fairlead_server.errors import Kind, ServingError

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class RestApp:
    def __init__(self, service: InferenceService, infer: InferDoor) -> None:
        self._service = service
        self._infer_door = infer

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except Exception as fault:
            answer = fault_answer(fault, scope["path"])
        await _send(answer, send)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        target = find(scope["raw_path"])
        allowed = METHODS[target.action]
        if scope["method"] not in allowed:
            error = ServingError(Kind.NOT_ALLOWED, f"this path takes {' or '.join(allowed)}")
            return error_answer(error, headers=[(b"allow", ", ".join(allowed).encode())])
        if target.action is Action.INFER:
            with self._infer_door.gate:
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
            case Action.MODEL_CONFIGURATION:
                return json_answer(200, service.model_configuration(model, version))
            case _:
                return _yes_or_no("ready", service.model_ready(model, version), name=model)

    async def _infer(self, target: Target, scope: Mapping[str, Any], receive: Receive) -> Answer:
        headers = Headers(scope["headers"])
        try:
            body = await read_body(receive, headers, self._infer_door.body_bytes)
        except ServingError as error:
            self._infer_door.gate.note(error.kind)
            raise
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def tell(answer: Answer) -> None:
            if not answered.done():  # else the client has left while its answer was written
                answered.set_result(answer)

        begun = self._infer_door.begin(target, headers, body, tell)
        if isinstance(begun, Answer):
            return begun
        try:
            return await answered
        finally:
            begun.cancel()


def _yes_or_no(word: str, yes: bool, **more: str) -> Answer:
    return json_answer(200 if yes else 503, {**more, word: yes})


async def _send(answer: Answer, send: Send) -> None:
    length = answer.length
    headers = [*answer.headers, (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    parts = [b"".join(answer.parts)] if length <= JOINED_BYTES else [part for part in answer.parts if len(part)]
    for at, part in enumerate(parts, start=1):
        await send({"type": "http.response.body", "body": part, "more_body": at < len(parts)})
