"""One HTTP answer as a value, the errors' form of it, and its bytes. Knows neither ASGI nor sockets."""

from __future__ import annotations

import functools
import http
import math
import traceback
from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead_server import log
from fairlead_server.doors.codes import HTTP, INTERNAL_MESSAGE
from fairlead_server.errors import Kind, ServingError

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
JOINED_BYTES = 256 * 1024  # an answer up to this size is copied together; beyond it a copy costs more than a write


class Answer(msgspec.Struct, eq=False):
    """`parts` are sent one after the other and never written again (they may be views of arrays)."""

    status: int
    headers: Sequence[Header]
    parts: Sequence[bytes | memoryview]

    @property
    def length(self) -> int:
        parts = self.parts
        return len(parts[0]) if len(parts) == 1 else sum([len(part) for part in parts])


def json_answer(status: int, document: Any, headers: Sequence[Header] = ()) -> Answer:
    return Answer(status, [JSON, *headers], [msgspec.json.encode(document)])


def error_answer(error: ServingError, *, status: int | None = None, headers: Sequence[Header] = ()) -> Answer:
    more = list(headers)
    if error.retry_after is not None:
        more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    return json_answer(status or HTTP[error.kind], {"error": error.message}, more)


def fault_answer(fault: BaseException, what: str) -> Answer:
    """A fault of ours is logged with its trace, and told without it; `what` says where it was."""
    if isinstance(fault, ServingError):
        return error_answer(fault)
    log.error("request failed", path=what, trace="".join(traceback.format_exception(fault)))
    return error_answer(ServingError(Kind.INTERNAL, INTERNAL_MESSAGE))


def as_http(answer: Answer, *, last: bool) -> list[bytes | memoryview]:
    """The whole answer in HTTP/1.1, to be written piece by piece; `last` ends the connection with it."""
    parts, length = answer.parts, answer.length
    end = b"connection: close\r\n\r\n" if last else b"\r\n"
    head = b"%bcontent-length: %d\r\n%b" % (_first_lines(answer.status, tuple(answer.headers)), length, end)
    if length <= JOINED_BYTES:
        return [b"".join((head, *parts))]
    return [head, *[part for part in parts if len(part)]]


@functools.lru_cache(maxsize=256)
def _first_lines(status: int, headers: tuple[Header, ...]) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *(name + b": " + value for name, value in headers)]
    return b"".join(line + b"\r\n" for line in lines)
