"""The states of a version, in one worker and in the replica.

    wanted -> fetching -> trying -> loading -> warming -> ready -> draining -> closed
      (any of the first five) -> failed            failed -> wanted (a retry), or closed

A version only moves forward; `failed -> wanted` is the one way back. `trying` is a trial worker's
work and is passed over for a digest that has been proven on this replica before.
"""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    WANTED = "wanted"
    FETCHING = "fetching"
    TRYING = "trying"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


_ORDER = [
    State.WANTED,
    State.FETCHING,
    State.TRYING,
    State.LOADING,
    State.WARMING,
    State.READY,
    State.DRAINING,
    State.CLOSED,
]


def may_move(old: State, new: State) -> bool:
    """Whether a version may go from `old` to `new` (skipping forward is allowed)."""
    if old is State.FAILED:
        return new in (State.WANTED, State.CLOSED)
    if new is State.FAILED:
        return _ORDER.index(old) < _ORDER.index(State.READY)
    return _ORDER.index(new) > _ORDER.index(old)
