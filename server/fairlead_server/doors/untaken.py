"""What gRPC's clients have not taken yet of their answers, by connection, and waiting for them to.

gRPC keeps every answer until its client's flow control lets it out, however many there are. So a connection that has
more than a bound of them outstanding gets no further request answered until it takes some: a client that reads
notices nothing, one that never reads holds the bound and one answer for each request that was under way.
HTTP's connections bound the same by not reading (rule 4). This module must not know messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from fairlead_server.errors import Kind, ServingError


class OfPeer(Protocol):
    """A call. `peer` names its connection, and is costly to ask for."""

    @property
    def peer(self) -> bytes: ...


class Untaken:
    """`limit_bytes` of answers may wait for one connection; a request waits for room at most `wait_s`.

    While all connections together are within the limit, each of them is, and none is asked for its name.
    """

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._wait_s = wait_s
        self._all_bytes = 0
        self._unnamed: dict[OfPeer, int] = {}
        self._bytes: dict[bytes, int] = {}  # but for the unnamed
        self._taken: dict[bytes, asyncio.Event] = {}

    def has_room(self, call: OfPeer) -> bool:
        return self._all_bytes <= self._limit_bytes or self._waiting(call.peer) <= self._limit_bytes

    async def room(self, call: OfPeer) -> None:
        """Raises SLOW_CLIENT when the client takes too little for too long."""
        try:
            async with asyncio.timeout(self._wait_s):
                while not self.has_room(call):
                    await self._taken.setdefault(call.peer, asyncio.Event()).wait()
        except TimeoutError:
            message = f"{self._waiting(call.peer)} bytes of earlier answers wait for this client: it takes none of them"
            raise ServingError(Kind.SLOW_CLIENT, message) from None

    def answered(self, call: OfPeer, size: int) -> Callable[[], None]:
        """Count one answer; what is returned is to be called when it is out, or its call is over."""
        self._all_bytes += size
        self._unnamed[call] = size

        def out() -> None:
            self._all_bytes -= size
            if self._unnamed.pop(call, None) is None:
                self._out(call.peer, size)

        return out

    def _waiting(self, peer: bytes) -> int:
        for call, size in self._unnamed.items():
            self._bytes[call.peer] = self._bytes.get(call.peer, 0) + size
        self._unnamed.clear()
        return self._bytes.get(peer, 0)

    def _out(self, peer: bytes, size: int) -> None:
        left = self._bytes.pop(peer, 0) - size
        if left:
            self._bytes[peer] = left
        if left <= self._limit_bytes and peer in self._taken:
            self._taken.pop(peer).set()
