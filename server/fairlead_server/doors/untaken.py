"""What gRPC's clients have not taken yet of their answers, by connection, and waiting for them to.

gRPC keeps every answer until its client's flow control lets it out, however many there are. So a connection that has
more than a bound of them outstanding gets no further request answered until it takes some: a client that reads
notices nothing, one that never reads holds the bound and one answer for each request that was under way.
HTTP's connections bound the same by not reading (rule 4). This module must not know messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead_server.errors import Kind, ServingError


class Untaken:
    """`limit_bytes` of answers may wait for one connection; a request waits for room at most `wait_s`."""

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._wait_s = wait_s
        self._bytes: dict[bytes, int] = {}
        self._taken: dict[bytes, asyncio.Event] = {}

    def has_room(self, peer: bytes) -> bool:
        return self._bytes.get(peer, 0) <= self._limit_bytes

    async def room(self, peer: bytes) -> None:
        """Raises SLOW_CLIENT when the client takes too little for too long."""
        try:
            async with asyncio.timeout(self._wait_s):
                while not self.has_room(peer):
                    await self._taken.setdefault(peer, asyncio.Event()).wait()
        except TimeoutError:
            message = f"{self._bytes.get(peer, 0)} bytes of earlier answers wait for this client: it takes none of them"
            raise ServingError(Kind.SLOW_CLIENT, message) from None

    def answered(self, peer: bytes, size: int) -> Callable[[], None]:
        """Count one answer; what is returned is to be called when it is out, or its call is over."""
        self._bytes[peer] = self._bytes.get(peer, 0) + size

        def out() -> None:
            left = self._bytes[peer] - size
            if left:
                self._bytes[peer] = left
            else:
                del self._bytes[peer]
            if left <= self._limit_bytes and peer in self._taken:
                self._taken.pop(peer).set()

        return out
