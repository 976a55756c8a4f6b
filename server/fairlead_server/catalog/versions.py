"""The versions of a worker: what it was told to hold, how far each is, and what to do next.

    load -> WANTED --Open--> LOADING -> WARMING -> READY --unload, no longer needed--> DRAINING --Close--> CLOSED
                                 \\-> FAILED (load again: WANTED)

It acts on nothing itself: the worker asks for `next_action`, does it, and reports each step back. It belongs to
the loop's thread, knows neither sockets nor models (a `handle` is whatever the worker puts there), and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from fairlead_server.catalog.effective import Effective, Standing, settle, standing, told
from fairlead_server.catalog.leases import Lease
from fairlead_server.catalog.news import Move, News, Taken
from fairlead_server.catalog.version import Close, Open, Version
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.catalog import Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State, may_move

S = TypeVar("S")
H = TypeVar("H")


class WorkerCatalog(Generic[S, H]):
    """`wake` is called when there may be something new to do or to tell."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self.versions: dict[str, Version[S, H]] = {}
        self._of_model: dict[str, set[str]] = {}
        self._wanted: dict[str, WorkerEntry] = {}
        self._effective: dict[str, Effective] = {}
        self._unsettled: set[str] = set()
        self._generation = 0
        self._to_open: dict[str, None] = {}
        self._to_close: dict[str, None] = {}
        self._opening: str | None = None
        self._closing: str | None = None
        self._news = News()

    # orders

    def load(self, uid: str, model: str, version: str, source: S) -> None:
        held = self.versions.get(uid)
        if held is None:
            self.versions[uid] = Version(uid, model, version, source)
            self._of_model.setdefault(model, set()).add(uid)
            self._to_open[uid] = None
        elif held.state is State.DRAINING:
            held.again = source
        else:
            held.unwanted = False
            if held.state is State.FAILED:
                held.source = source
                self._move(held, State.WANTED)
                self._to_open[uid] = None
        self._settle(model)

    def unload(self, uid: str) -> None:
        held = self.versions.get(uid)
        if held is None:
            return
        held.unwanted, held.again = True, None
        if held.state in (State.WANTED, State.FAILED):
            self._gone(held)
        self._settle(held.model)

    def apply(self, generation: int, entries: Mapping[str, WorkerEntry | None]) -> None:
        self._generation = generation
        self._news.applied()
        for model, entry in entries.items():
            if entry is None:
                self._wanted.pop(model, None)
            else:
                self._wanted[model] = entry
            self._settle(model)
        self._wake()

    # what to do, and how it went

    def next_action(self) -> Open | Close | None:
        """At most one thing to do. A close does not wait for an open that is under way, nor the other way round."""
        if self._closing is None:
            for uid in self._to_close:
                if self.versions[uid].leases == 0:
                    return Close(uid)
        if self._opening is None:
            for uid in self._to_open:
                return Open(uid)
        return None

    def begin(self, action: Open | Close) -> Version[S, H]:
        """The worker starts to do it."""
        held = self.versions[action.uid]
        if isinstance(action, Close):
            self._closing = action.uid
        else:
            self._opening = action.uid
            del self._to_open[action.uid]
            self._move(held, State.LOADING)
        return held

    def warming(self, uid: str) -> None:
        self._move(self.versions[uid], State.WARMING)

    def opened(self, uid: str, handle: H) -> None:
        held = self.versions[uid]
        self._opening, held.handle = None, handle
        self._move(held, State.READY)
        self._settle(held.model)

    def failed(self, uid: str, reason: str, *, final: bool) -> None:
        held = self.versions[uid]
        self._opening = None
        self._move(held, State.FAILED, reason, final=final)
        if held.unwanted:
            self._gone(held)
        self._settle(held.model)

    def closed(self, uid: str) -> None:
        held = self.versions[uid]
        self._closing, held.handle = None, None
        again = held.again
        self._gone(held)
        if again is not None:
            self.load(uid, held.model, held.version, again)
        self._settle(held.model)

    # requests

    def route(self, model: str) -> Route:
        """The route in effect. NOT_FOUND or NOT_READY with the reason."""
        found = self._found(model)
        if found.route is None:
            raise ServingError(Kind.NOT_READY, f"model '{model}' is not ready: {found.pending or 'it has no route'}")
        return found.route

    def lease(self, model: str, name: str) -> Lease[H]:
        """Hold the version that has this number or alias. NOT_FOUND or NOT_READY with the reason."""
        found = self._found(model)
        version, uid = name, found.uids.get(name)
        if uid is None:
            version = found.aliases.get(name, "")
            uid = found.uids.get(version)
        if uid is None:
            raise ServingError(
                Kind.NOT_FOUND, f"model '{model}' has no version or alias '{name}'; it has {_all(found)}"
            )
        held = self.versions.get(uid)
        if held is None or held.state is not State.READY or held.handle is None:
            raise ServingError(Kind.NOT_READY, f"model '{model}' is not ready: {self._why(model, version)}")
        held.leases += 1
        return Lease(held.uid, version, held.handle, self._give_back)

    def ready_versions(self, model: str) -> list[str]:
        """The versions that would answer now, by number. NOT_FOUND."""
        return [version for version, uid in self._found(model).uids.items() if self._state(uid) is State.READY]

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._effective)

    @property
    def leases(self) -> int:
        return sum(held.leases for held in self.versions.values())

    # what to tell

    @property
    def caught_up(self) -> bool:
        """Every routed version of the newest entries is ready here or has finally failed, and there were entries."""
        return self._generation > 0 and not self._unsettled

    def take_moves(self) -> list[Move]:
        return self._news.take_moves()

    def take_news(self) -> Taken | None:
        """How far the newest entries are, if that changed since it was asked last."""
        return self._news.take_news(self._generation) if self._generation else None

    # inside

    def _give_back(self, uid: str) -> None:
        held = self.versions[uid]
        held.leases -= 1
        if held.leases == 0 and held.state is State.DRAINING:
            self._wake()

    def _move(self, held: Version[S, H], state: State, reason: str = "", *, final: bool = False) -> None:
        if not may_move(held.state, state):
            raise AssertionError(f"{held.model} {held.version} may not go from {held.state} to {state}")
        held.state, held.reason, held.final = state, reason, final
        self._news.moved(Move(held.uid, state, reason, final))
        self._wake()

    def _gone(self, held: Version[S, H]) -> None:
        self._move(held, State.CLOSED)
        self._to_open.pop(held.uid, None)
        self._to_close.pop(held.uid, None)
        self._of_model[held.model].discard(held.uid)
        if not self._of_model[held.model]:
            del self._of_model[held.model]
        del self.versions[held.uid]

    def _settle(self, model: str) -> None:
        """Bring the route of one model up to date, then let go of what nothing needs any more."""
        wanted, last = self._wanted.get(model), self._effective.pop(model, None)
        now = settle(wanted, last, self._look) if wanted is not None else None
        self._unsettled.discard(model)
        if now is not None:
            self._effective[model] = now
            if not now.settled:
                self._unsettled.add(model)
        self._news.settled(model, last, now)
        self._let_go(model, now.needed if now is not None else frozenset())
        self._wake()

    def _let_go(self, model: str, needed: frozenset[str]) -> None:
        for uid in self._of_model.get(model, ()):
            held = self.versions[uid]
            if held.unwanted and held.state is State.READY and uid not in needed:
                self._to_close[uid] = None
                self._move(held, State.DRAINING)

    def _look(self, uid: str) -> Standing | None:
        held = self.versions.get(uid)
        return Standing(held.state, held.reason, held.final) if held is not None else None

    def _state(self, uid: str) -> State | None:
        held = self.versions.get(uid)
        return held.state if held is not None else None

    def _found(self, model: str) -> Effective:
        found = self._effective.get(model)
        if found is None:
            raise ServingError(Kind.NOT_FOUND, f"there is no model '{model}' here")
        return found

    def _why(self, model: str, version: str) -> str:
        return told(version, standing(self._wanted[model], version, self._look))


def _all(found: Effective) -> str:
    versions, aliases = ", ".join(sorted(found.uids)) or "none", ", ".join(sorted(found.aliases)) or "none"
    return f"versions {versions} and aliases {aliases}"
