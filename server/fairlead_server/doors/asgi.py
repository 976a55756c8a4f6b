"""The little of ASGI that the supervisor's two applications need: headers in, one answer out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fairlead_server.doors.answers import Answer

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def send_answer(answer: Answer, send: Send) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % answer.length)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"".join(answer.parts)})
