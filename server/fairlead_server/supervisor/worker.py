"""One worker as its supervisor knows it: what it was told, and what it said.

`bring_up_to_date` compares what it should hold with what it was told, and sends the difference: so it does not
matter how often it is called, nor what happened before.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

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
    """All that a worker should hold. `newest`: the entries are those of `generation`, of every model."""

    generation: int
    loads: Mapping[str, Load]
    entries: Mapping[str, WorkerEntry]
    newest: bool = True


@dataclasses.dataclass(frozen=True)
class Told:
    entry: WorkerEntry
    generation: int
    newest: bool


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
        self.effective: dict[str, int] = {}  # by model: the generation whose newest entry is in effect
        self.counts: Counts | None = None
        self.killed = False
        self.broken = ""  # why its device is lost
        self.hung: tuple[str, ...] = ()  # what held up its loop when it was killed for its silence
        self._told: dict[str, Told] = {}
        self._loaded: set[str] = set()
        self._told_generation = 0

    # down

    def bring_up_to_date(self, orders: Orders) -> None:
        for uid, load in orders.loads.items():
            if uid not in self._loaded:
                self._loaded.add(uid)
                self.child.send(load)
        self._apply(orders)
        for uid in self._loaded - orders.loads.keys():
            self._loaded.discard(uid)
            self.child.send(Unload(uid))

    def _apply(self, orders: Orders) -> None:
        news: dict[str, WorkerEntry | None] = {
            model: entry
            for model, entry in orders.entries.items()
            if model not in self._told or self._told[model].entry != entry
        }
        news |= dict.fromkeys(model for model in self._told if model not in orders.entries)
        if not news and orders.generation == self._told_generation:
            return
        told = (orders.generation, orders.newest)
        self._told = {
            model: Told(entry, *told) if model in news or model not in self._told
            else dataclasses.replace(self._told[model], newest=orders.newest)
            for model, entry in orders.entries.items()
        }  # fmt: skip
        self._told_generation = orders.generation
        self.child.send(Apply(orders.generation, news))

    def retry(self, loads: Mapping[str, Load], now: float) -> None:
        """Load again what failed for a cause that can pass."""
        for uid, held in self.versions.items():
            due = held.moved.state is State.FAILED and not held.moved.final and now >= held.retry_at
            if due and uid in self._loaded and uid in loads:
                self.versions[uid] = dataclasses.replace(held, retry_at=float("inf"))
                self.child.send(loads[uid])

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
        if moved.state is State.CLOSED:
            self.versions.pop(moved.uid, None)
            return
        before = self.versions.get(moved.uid)
        failures = before.failures if before is not None else 0
        if moved.state is State.FAILED:
            failures += 1
            pause = back_off(times.retry, times.retry_most, failures)
            self.versions[moved.uid] = Standing(moved, failures, time.monotonic() + pause)
        else:
            self.versions[moved.uid] = Standing(moved, 0 if moved.state is State.READY else failures)

    def _applied(self, applied: Applied) -> None:
        self.generation, self.pending = applied.generation, applied.pending
        for model, weights in applied.routes.items():
            if weights is None:
                self.routes.pop(model, None)
            else:
                self.routes[model] = weights
        if applied.generation < self._told_generation:
            return  # of an earlier message: what was told since is not in it
        for model, told in self._told.items():
            if told.newest and model not in applied.pending:
                self.effective[model] = applied.generation
        self.effective = {model: held for model, held in self.effective.items() if model in self._told}

    def _to(self, state: str) -> None:
        if self.state != state:
            self.state, self.since = state, time.time()

    # asked

    def is_ready(self, uid: str) -> bool:
        held = self.versions.get(uid)
        return held is not None and held.moved.state is State.READY

    def told_newest(self, model: str) -> bool:
        """Whether this worker has the newest entry of this model in effect."""
        told = self._told.get(model)
        return told is not None and told.newest and self.effective.get(model, 0) >= max(told.generation, 1)

    def running(self) -> tuple[str, ...]:
        """What was loading when it was heard last: blamed for its death where nothing was running."""
        return tuple(uid for uid, held in self.versions.items() if held.moved.state in (State.LOADING, State.WARMING))
