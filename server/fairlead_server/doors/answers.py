"""One HTTP answer as a value, and the errors' form of it. Knows neither ASGI nor sockets."""

from __future__ import annotations

import dataclasses
import http
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead_server.doors.codes import HTTP
from fairlead_server.errors import ServingError

Header = tuple[bytes, bytes]
_JSON: Header = (b"content-type", b"application/json")


@dataclasses.dataclass(slots=True)
class Answer:
    """`parts` are sent one after the other and never written again (they may be views of arrays)."""

    status: int
    headers: list[Header]
    parts: Sequence[bytes | memoryview]

    @property
    def length(self) -> int:
        return sum(len(part) for part in self.parts)


def json_answer(status: int, document: Any, headers: Sequence[Header] = ()) -> Answer:
    return Answer(status, [_JSON, *headers], [msgspec.json.encode(document)])


def error_answer(error: ServingError, *, status: int | None = None, headers: Sequence[Header] = ()) -> Answer:
    more = list(headers)
    if error.retry_after is not None:
        more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    return json_answer(status or HTTP[error.kind], {"error": error.message}, more)


def as_last_words(answer: Answer) -> bytes:
    """The whole answer as bytes of HTTP/1.1, for a connection that ends with it."""
    try:
        phrase = http.HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    head = [f"HTTP/1.1 {answer.status} {phrase}".encode()]
    head += [name + b": " + value for name, value in answer.headers]
    head += [b"content-length: %d" % answer.length, b"connection: close", b"", b""]
    return b"\r\n".join(head) + b"".join(answer.parts)
