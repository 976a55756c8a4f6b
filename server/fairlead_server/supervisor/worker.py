"""One worker as its supervisor knows it: what it was told, and what it said.

`bring_up_to_date` compares what it should hold with what it was told, and sends the difference: so it does not
matter how often it is called, nor what happened before.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping

from fairlead_server.link.messages import (
    Accepting,
    Applied,
    Apply,
    Broken,
    Counts,
    Drain,
    Hello,
    Load,
    Moved,
    ToSupervisor,
    Unload,
)
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State
from fairlead_server.supervisor.children import Child
from fairlead_server.supervisor.times import Times, back_off

STARTING, ACCEPTING, DRAINING = "starting", "accepting", "draining"


@dataclasses.dataclass(frozen=True)
class Orders:
    """All that a worker should hold of some models: by model the loads by uid, and the entry (None leaves the model
    out). `newest`: what it is told of all models, these and the others, are the entries of `generation`."""

    generation: int
    loads: Mapping[str, Mapping[str, Load]]
    entries: Mapping[str, WorkerEntry | None]
    newest: bool = True


@dataclasses.dataclass(frozen=True)
class Told:
    entry: WorkerEntry
    generation: int


@dataclasses.dataclass(frozen=True)
class Standing:
    """One version in this worker."""

    moved: Moved
    failures: int = 0
    retry_at: float = 0.0


class Worker:
    def __init__(self, name: str, child: Child, marks_fd: int) -> None:
        self.id = name
        self.child = child
        self.marks_fd = marks_fd
        self.state = STARTING
        self.since = time.time()
        self.heard = time.monotonic()
        self.greeted = False
        self.leaving = False  # to be replaced
        self.drain_until = 0.0
        self.generation = 0
        self.versions: dict[str, Standing] = {}
        self.pending: dict[str, str] = {}
        self.routes: dict[str, dict[str, float]] = {}
        self.older: set[str] = set()  # models of which it is told another entry than the newest, or none
        self.troubled: set[str] = set()  # uids that failed to load, and have not been ready since
        self.counts: Counts | None = None
        self.killed = False
        self.broken = ""  # why its device is lost
        self.hung: tuple[str, ...] = ()  # what held up its loop when it was killed for its silence
        self._told: dict[str, Told] = {}
        self._loaded: dict[str, set[str]] = {}  # uids by model
        self._told_generation = 0
        self._newest = False
        self._in_effect = 0  # the generation that is in effect but for what is behind
        self._behind: dict[str, int] = {}  # by model: what is in effect while its newest entry is not
        self._unconfirmed: dict[str, int] = {}  # the same, of entries that it has not answered yet
        self._news: set[str] = set()

    # down

    def bring_up_to_date(self, orders: Orders) -> None:
        for model, loads in orders.loads.items():
            known = self._loaded.setdefault(model, set())
            for uid, load in loads.items():
                if uid not in known:
                    known.add(uid)
                    self.child.send(load)
        self._apply(orders)
        for model, loads in orders.loads.items():
            known = self._loaded[model]
            for uid in known - loads.keys():
                known.discard(uid)
                self.child.send(Unload(uid))
            if not known:
                del self._loaded[model]

    def _apply(self, orders: Orders) -> None:
        news = {model: entry for model, entry in orders.entries.items() if self._differs(model, entry)}
        if not news and orders.generation == self._told_generation:
            return
        for model, entry in news.items():
            before = self.effective(model)
            if entry is None:
                del self._told[model]
                self._unconfirmed.pop(model, None)
            else:
                self._told[model] = Told(entry, orders.generation)
                self._unconfirmed.setdefault(model, before)
        self._told_generation, self._newest = orders.generation, orders.newest
        self.child.send(Apply(orders.generation, news))

    def _differs(self, model: str, entry: WorkerEntry | None) -> bool:
        told = self._told.get(model)
        return entry is not None if told is None else told.entry != entry

    def retry(self, load_of: Callable[[str], Load | None], now: float) -> None:
        """Load again what failed for a cause that can pass."""
        for uid in self.troubled:
            held = self.versions[uid]
            due = held.moved.state is State.FAILED and not held.moved.final and now >= held.retry_at
            load = load_of(uid) if due else None
            if load is not None and uid in self._loaded.get(load.model, ()):
                self.versions[uid] = dataclasses.replace(held, retry_at=float("inf"))
                self.child.send(load)

    def drain(self, grace_s: float, idle_s: float) -> None:
        self._to(DRAINING)
        self.drain_until = time.monotonic() + grace_s
        self.child.send(Drain(grace_s, idle_s))

    # up

    def hear(self, message: ToSupervisor, times: Times) -> None:
        self.heard = time.monotonic()
        self.greeted = True
        if isinstance(message, Moved):
            self._moved(message, times)
        elif isinstance(message, Applied):
            self._applied(message)
        elif isinstance(message, Accepting):
            if self.state != DRAINING:
                self._to(ACCEPTING if message.open else STARTING)
        elif isinstance(message, Counts):
            self.counts = message
        elif isinstance(message, Broken):
            self.broken = message.reason
            self.leaving = True
        else:
            assert isinstance(message, Hello)

    def _moved(self, moved: Moved, times: Times) -> None:
        before = self.versions.pop(moved.uid, None)
        if moved.state in (State.CLOSED, State.READY):
            self.troubled.discard(moved.uid)
        if moved.state is State.CLOSED:
            return
        failures = before.failures if before is not None else 0
        if moved.state is State.FAILED:
            failures += 1
            pause = back_off(times.retry, times.retry_most, failures)
            self.troubled.add(moved.uid)
            self.versions[moved.uid] = Standing(moved, failures, time.monotonic() + pause)
        else:
            self.versions[moved.uid] = Standing(moved, 0 if moved.state is State.READY else failures)

    def _applied(self, applied: Applied) -> None:
        self.generation = applied.generation
        self._note_pending(applied.pending)
        for model, weights in applied.routes.items():
            if weights is None:
                self.routes.pop(model, None)
            else:
                self.routes[model] = weights
        if applied.generation < self._told_generation:
            return  # of an earlier message: what was told since is not in it
        if self._newest:
            self._news.update(self._unconfirmed if self._in_effect else self._told)
        for model, before in self._unconfirmed.items():
            if model in self.pending:
                self._behind.setdefault(model, before)
        self._unconfirmed = {}
        if self._newest:
            self._in_effect = applied.generation

    def _note_pending(self, changes: Mapping[str, str]) -> None:
        for model, why in changes.items():
            if why:
                self._behind.setdefault(model, self.effective(model))
                self.pending[model] = why
            else:
                self._behind.pop(model, None)
                self.pending.pop(model, None)
        self._news.update(changes)

    def _to(self, state: str) -> None:
        if self.state != state:
            self.state, self.since = state, time.time()

    # asked

    def is_ready(self, uid: str) -> bool:
        held = self.versions.get(uid)
        return held is not None and held.moved.state is State.READY

    def effective(self, model: str) -> int:
        """The generation whose entry of this model is in effect in this worker; 0 for none."""
        if model not in self._told:
            return 0
        behind = self._unconfirmed.get(model)
        return self._behind.get(model, self._in_effect) if behind is None else behind

    def told_newest(self, model: str) -> bool:
        """Whether this worker has the newest entry of this model in effect."""
        told = self._told.get(model)
        return told is not None and self._newest and self.effective(model) >= max(told.generation, 1)

    def told(self) -> Iterable[str]:
        """The models of which it was told an entry, or to load something."""
        return self._told.keys() | self._loaded.keys()

    def take_news(self) -> set[str]:
        """The models whose newest entry may have come into effect since this was asked last."""
        news, self._news = self._news, set()
        return news

    def running(self) -> tuple[str, ...]:
        """What was loading when it was heard last: blamed for its death where nothing was running."""
        return tuple(uid for uid, held in self.versions.items() if held.moved.state in (State.LOADING, State.WARMING))
