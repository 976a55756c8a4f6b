"""Heads of plain inferences: what one asks for, and a memory of those that were parsed before.

A client that keeps its connection sends the same head again and again, at most with another length. The memory is
keyed by a head's very bytes, so what is found in it would be parsed to the same again, and passed the same checks.
This module must not know bodies or connections.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fairlead_server.doors.headers import Headers
from fairlead_server.doors.paths import Target, find_infer

END = b"\r\n\r\n"
_KEPT, _LONGEST_KEPT = 1024, 2048  # clients choose the heads, so both their number and their length have a bound


@dataclasses.dataclass(slots=True, eq=False)
class Head:
    """`length` is the body's, as announced; None for one that comes in chunks. `keep_alive`: the connection stays."""

    target: Target
    headers: Headers
    length: int | None
    keep_alive: bool


def plain_infer(
    method: bytes, url: bytes, pairs: Sequence[tuple[bytes, bytes]], *, keep_alive: bool, longest: int
) -> Head | None:
    """The head, unless there is something about the request that only the application knows how to do.

    `pairs` have lower-case names; bodies beyond `longest` bytes are not plain.
    """
    target = find_infer(url) if method == b"POST" else None
    if target is None:
        return None
    headers = Headers(pairs)
    if b"content-encoding" in headers.raw or b"expect" in headers.raw:
        return None
    length = None if b"transfer-encoding" in headers.raw else int(headers.raw.get(b"content-length", 0))
    if length is not None and length > longest:
        return None
    return Head(target, headers, length, keep_alive)


class Heads:
    """Those of a server that were parsed before, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self.find = self._known.get

    def keep(self, text: bytes, head: Head) -> None:
        """`text` is all of it, the empty line included. What ends a connection, or has chunks, is not kept."""
        if len(text) > _LONGEST_KEPT or not head.keep_alive or head.length is None:
            return
        if len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[text] = head
