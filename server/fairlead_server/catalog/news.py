"""What a worker has to tell its supervisor: the moves of its versions, and how far the newest entries are.

It gathers until it is taken: a supervisor that reads slowly gets the newest, and every move.
"""

from __future__ import annotations

import dataclasses

from fairlead_server.catalog.effective import Effective
from fairlead_server.models.states import State


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """A version changed its state."""

    uid: str
    state: State
    reason: str = ""
    final: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """How far the newest entries are, as far as it has changed: by model the reason why its wanted route is not in
    effect ("" when it is), and the weights now in effect (None: no route)."""

    generation: int
    pending: dict[str, str]
    routes: dict[str, dict[str, float] | None]


class News:
    def __init__(self) -> None:
        self._moves: list[Move] = []
        self._pending: dict[str, str] = {}
        self._changed: dict[str, str] = {}
        self._routes: dict[str, dict[str, float] | None] = {}
        self._told: int | None = None  # the generation that was taken last, if nothing has changed since

    def moved(self, move: Move) -> None:
        self._moves.append(move)

    def applied(self) -> None:
        """Entries came: they are answered even where they change nothing."""
        self._told = None

    def settled(self, model: str, before: Effective | None, after: Effective | None) -> None:
        """One model was brought up to date."""
        pending = after.pending if after is not None else ""
        if pending != self._pending.pop(model, ""):
            self._changed[model], self._told = pending, None
        if pending:
            self._pending[model] = pending
        weights = _weights(after)
        if weights != _weights(before) or (before is None) != (after is None):
            self._routes[model], self._told = weights, None

    def take_moves(self) -> list[Move]:
        moves, self._moves = self._moves, []
        return moves

    def take_news(self, generation: int) -> Taken | None:
        """None when nothing has changed since the last time."""
        if self._told == generation:
            return None
        routes, self._routes, self._told = self._routes, {}, generation
        pending, self._changed = self._changed, {}
        return Taken(generation, pending, routes)


def _weights(effective: Effective | None) -> dict[str, float] | None:
    return dict(effective.route.weights) if effective is not None and effective.route is not None else None
