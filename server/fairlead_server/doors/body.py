"""The body of an HTTP request, whole, decompressed and never over the limit.

    receive -> chunks -> [inflate] -> bytes        over the limit: TOO_LARGE; damaged: INVALID

The limit holds for what arrives and for what it inflates to, and nothing beyond it is ever
inflated. This module must not know what the body means.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fairlead_server.errors import Kind, ServingError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class ClientGone(Exception):
    """The client left before its request was complete."""


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    inflate = _inflater(headers.get("content-encoding", ""), limit)
    chunks: list[bytes] = []
    arrived = size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        arrived += len(chunk)
        if arrived > limit:
            raise _too_large(limit)
        if inflate:
            chunk = inflate.feed(chunk, limit - size)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    if inflate:
        inflate.finish()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _inflater(encoding: str, limit: int) -> _Inflater | None:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _WINDOW:
        raise ServingError(Kind.UNSUPPORTED, "Content-Encoding must be gzip, deflate or identity")
    return _Inflater(_WINDOW[name])


class _Inflater:
    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(wbits=window)

    def feed(self, chunk: bytes, room: int) -> bytes:
        """At most one byte more than `room`, which tells that there is more."""
        try:
            return self._stream.decompress(chunk, room + 1)
        except zlib.error as error:
            raise ServingError(Kind.INVALID, f"the compressed body is damaged: {error}") from None

    def finish(self) -> None:
        if not self._stream.eof or self._stream.unused_data:
            raise ServingError(Kind.INVALID, "the compressed body is cut short, or more follows its end")


def _too_large(limit: int) -> ServingError:
    return ServingError(Kind.TOO_LARGE, f"the request body is over the limit of {limit} bytes (after decompression)")
