"""One version that the replica is to hold: what is asked for, how far it is, and the queues in which such wait.

Owned and changed by `versions` alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
from typing import Any, NamedTuple

import msgspec

from fairlead_server.models.catalog import VersionEntry
from fairlead_server.models.states import State
from fairlead_server.supervisor.identity import key_of
from fairlead_server.supervisor.steps import Life


class Want(NamedTuple):
    """One version as some entry asks for it. The pin is not part of it: to pin what is here changes nothing."""

    model: str
    version: str
    source: str
    settings: bytes  # JSON
    attempt: int

    @classmethod
    def of(cls, model: str, version: str, entry: VersionEntry) -> Want:
        settings = msgspec.json.encode(entry.settings, order="deterministic") if entry.settings else b"{}"
        return cls(model, version, entry.source, settings, entry.attempt)

    def decoded_settings(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.settings)
        return found


@dataclasses.dataclass(eq=False, slots=True)
class Held:
    """`rank`: how urgent it is, 0 the most. `queued`: with which rank it stands in a queue. `dropped`: nobody wants it
    any more."""

    want: Want
    life: Life
    pin: str
    rank: int = 0
    work: asyncio.Task[None] | None = None
    dropped: bool = False
    queued: int | None = None

    def may_be(self, pin: str) -> bool:
        """Whether these bytes can be what an entry with this pin asks for, as far as is known."""
        known = self.life.digest or self.pin
        return not pin or not known or pin == known


class Queue:
    """Versions that wait, by rank and then in the order of their arrival. One that was dropped, or has moved on, is
    passed over when its turn comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Held]] = []
        self._count = itertools.count()

    def __bool__(self) -> bool:
        self._skip()
        return bool(self._heap)

    def put(self, held: Held) -> None:
        """It counts once, however often, with the most urgent rank."""
        if held.queued is None or held.rank < held.queued:
            held.queued = held.rank
            heapq.heappush(self._heap, (held.rank, next(self._count), held))

    def pop(self) -> Held | None:
        self._skip()
        return self._take() if self._heap else None

    def take_all(self, key: str) -> list[Held]:
        """All that share what the journal would know of them (`identity.key_of`), out of the queue."""
        found = [held for _, _, held in self._heap if key_of(held.life.uid) == key]
        if found:
            self._heap = [entry for entry in self._heap if key_of(entry[2].life.uid) != key]
            heapq.heapify(self._heap)
        for held in found:
            held.queued = None
        waiting = dict.fromkeys(found)  # each once
        return [held for held in waiting if not held.dropped and held.life.state is State.WANTED]

    def _skip(self) -> None:
        while self._heap and (self._heap[0][2].dropped or self._heap[0][2].life.state is not State.WANTED):
            self._take()

    def _take(self) -> Held:
        held = heapq.heappop(self._heap)[2]
        held.queued = None
        return held
