"""One version in a worker, and what can be done to it."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

from fairlead_server.models.states import State

S = TypeVar("S")  # what says how to open a version
H = TypeVar("H")  # what an open version is used by


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    uid: str


@dataclasses.dataclass(slots=True)
class Version(Generic[S, H]):
    """Changed by the catalog alone."""

    uid: str
    model: str
    version: str
    source: S
    state: State = State.WANTED
    reason: str = ""
    final: bool = False
    handle: H | None = None
    leases: int = 0
    unwanted: bool = False  # to be closed once nothing needs it
    again: S | None = None  # told to load while it was draining already: it begins anew after the close
