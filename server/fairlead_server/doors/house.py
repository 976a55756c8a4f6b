"""What all connections of one HTTP server share: limits, the gate, and whether it is leaving."""

from __future__ import annotations

import asyncio

from uvicorn.server import ServerState

from fairlead_server.doors.gate import Gate
from fairlead_server.settings import Limits


class House(ServerState):  # type: ignore[misc]
    """uvicorn's shared state, with ours. `connections` are those that are open."""

    def __init__(self, limits: Limits, gate: Gate) -> None:
        super().__init__()
        self.limits = limits
        self.gate = gate
        self.leaving = False
        self.leaving_since = 0.0
        self.last_request_s = 0.0
        self.empty = asyncio.Event()

    def leave(self, now: float, idle_s: float) -> None:
        """From now on every answer is its connection's last, and an idle one may bring one more request."""
        self.leaving = True
        self.leaving_since = now
        self.last_request_s = idle_s
        self.left()

    def left(self) -> None:
        """A connection has ended."""
        if self.leaving and not self.connections:
            self.empty.set()
