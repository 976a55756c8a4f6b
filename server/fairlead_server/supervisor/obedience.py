"""Makes the workers equal to the catalog: the one place where what is wanted, the versions and the workers meet.

    document -> wanted -> versions (fetch, try) -> orders -> workers
                   ^---- in effect everywhere: the last good entry may go ----'

Level-triggered: `obey` compares and sends what differs, whenever anything has changed. It looks only at the models of
which something has; all of them are looked at for a worker that is new or begins to accept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

import msgspec

from fairlead_server import log
from fairlead_server.link.messages import Accepting, Applied, Moved, ToSupervisor
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.parsing import Parsed
from fairlead_server.models.states import State
from fairlead_server.supervisor.orders import (
    by_urgency,
    in_effect,
    opening_entry,
    routed_lives,
    with_failures,
    worker_entry,
)
from fairlead_server.supervisor.versions import Versions
from fairlead_server.supervisor.wanted import Wanted
from fairlead_server.supervisor.worker import STARTING, Orders, Worker
from fairlead_server.supervisor.workers import Workers

SOON_S = 0.01  # changes of many versions at once are told together
SWEEP_S = 1.0  # between two looks at all that is not in effect yet: a worker may have gone that was the last without
FORGET_S = 1.0  # what is not wanted any more is told to the fetcher so late; nothing waits for it


class Obedience:
    """Listens to the workers. `forget` is told the digests that are still needed, `settled` when a newest entry has
    come into effect, so that a restart need not begin with the one before; `opened` when a worker accepts.

    A version that failed twice holds up no doors. But where nothing else is there either, as when the sources cannot
    be reached while a new replica starts, it would open with nothing to answer from, and the replicas that have the
    models would be taken away because it is ready. So it starves first: its doors stay closed until something comes,
    for `arrival_s` from the first document on."""

    def __init__(
        self,
        wanted: Wanted,
        forget: Callable[[list[str]], None],
        settled: Callable[[], None],
        opened: Callable[[], None],
        arrival_s: float,
    ) -> None:
        self.wanted = wanted
        self._forget = forget
        self._told_settled = settled
        self._opened = opened
        self._arrival_s = arrival_s
        self._newest: dict[str, WorkerEntry] = {}
        self._dirty: set[str] = set()
        self._unsettled: set[str] = set()
        self._soon: asyncio.TimerHandle | None = None
        self._accepted_before = False
        self._starving = False
        self._starve_until = 0.0
        self._sweep_at = self._forget_at = 0.0

    def join(self, versions: Versions, workers: Workers) -> None:
        self._versions, self._workers = versions, workers

    # the document

    def take(self, parsed: Parsed) -> None:
        """A new document counts: every worker is told at once of what it has already."""
        changed = self.wanted.take(parsed)
        self._starve_until = self._starve_until or time.monotonic() + self._arrival_s
        for model, why in parsed.faults.items():
            log.warning("model_faulty", model=model, reason=why, kept=model in self.wanted.entries)
        for model in changed:
            settled = model not in self.wanted.entries or self.wanted.is_settled(model)
            (self._unsettled.discard if settled else self._unsettled.add)(model)
        self._want(changed)
        self.obey()
        self._tell_starting()

    def kept_after(self, parsed: Parsed) -> bytes:
        return msgspec.json.encode(self.wanted.kept_after(parsed))

    def changed(self, model: str) -> None:
        """A version of this model is further, or failed."""
        self._dirty.add(model)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON_S, self.obey)

    def _want(self, models: Iterable[str]) -> None:
        """Other versions may be wanted of these."""
        for model in models:
            self._versions.want(model, by_urgency(self.wanted, model))
            self._dirty.add(model)
        self._versions.reconsider()
        self._versions.tick()
        self._forget_at = self._forget_at or time.monotonic() + FORGET_S

    # the workers

    def obey(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        dirty, self._dirty = self._dirty, set()
        if self._starving != self._starves(dirty):
            self._starve(not self._starving)
            dirty.update(self.wanted.entries)
        for model in dirty:
            entry = self.wanted.entries.get(model)
            if entry is None:
                self._newest.pop(model, None)
            else:
                self._newest[model] = worker_entry(model, entry, self._versions.life, self._starving)
        for worker in self._workers.living.values():
            self._tell(worker, dirty)
        self._settle(dirty)

    def look(self) -> None:
        """What time brings."""
        now = time.monotonic()
        for worker in self._workers.living.values():
            worker.retry(self._versions.load, now)
        if self._starving and now >= self._starve_until:
            self.obey()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            self._settle(self._unsettled)
        if self._forget_at and now >= self._forget_at:
            self._forget_at = 0.0
            self._forget(self._versions.digests())

    def started(self, worker: Worker) -> None:
        self._tell_all(worker)

    def heard(self, worker: Worker, message: ToSupervisor) -> None:
        if isinstance(message, Accepting):
            self._opened()
            log.info("worker_accepting" if message.open else "worker_not_accepting", worker=worker.id)
            self._tell_all(worker)
            if message.open and not self._accepted_before:
                self._accepted_before, self._starving = True, False
                self._tell_starting()
            self._settle(self._unsettled)
        elif isinstance(message, Applied):
            self._settle(worker.take_news())
        elif isinstance(message, Moved):
            self._moved(worker, message)

    async def blamed(self, uids: tuple[str, ...], cause: str) -> None:
        """A worker died by a signal that was not ours, hung, or lost its device, while these ran. What is condemned by
        it leaves the other workers too: while a route needs it they would keep it, so they are replaced."""
        condemned = await self._versions.died_in_worker(uids, cause)
        for other in self._workers.living.values():
            if any(uid in other.versions for uid in condemned):
                other.leaving = True
        self.obey()

    def _moved(self, worker: Worker, moved: Moved) -> None:
        model = self._versions.model_of(moved.uid)
        if moved.state is State.FAILED:
            log.warning(
                "load_failed", worker=worker.id, model=model, uid=moved.uid, reason=moved.reason, final=moved.final
            )
        if model and moved.state in (State.FAILED, State.READY):
            self._tell(worker, [model])
        if model in self._unsettled:
            self._settle([model])

    @property
    def starving(self) -> str:
        """Why no worker accepts although nothing is waited for any more, or ""."""
        return "no version of any route has come from its source yet: see their reasons" if self._starving else ""

    def _starves(self, dirty: set[str]) -> bool:
        """Whether this replica never accepted, has failed at all that it is to serve, and not all of it for good."""
        if self._accepted_before or time.monotonic() >= self._starve_until:
            return False
        entries = self.wanted.entries
        if self._starving:  # only what has changed can end it
            return all(self._has_nothing_of(model) for model in dirty if model in entries)
        if not all(self._has_nothing_of(model) for model in reversed(entries)):  # what is fetched last tells it soonest
            return False
        lives = (life for model in entries for life in routed_lives(self.wanted, model, self._versions.life))
        return any(life is not None and not life.final for life in lives)

    def _has_nothing_of(self, model: str) -> bool:
        lives = routed_lives(self.wanted, model, self._versions.life)
        return all(life is not None and life.told_failed for life in lives)

    def _starve(self, starving: bool) -> None:
        """What ends it gives all others their attempts again, before the doors open without them."""
        self._starving = starving
        if starving:
            log.warning("nothing_fetched_yet", models=len(self.wanted.entries))
        elif time.monotonic() < self._starve_until:
            self._versions.fetch_anew()
        else:
            log.warning("nothing_fetched", waited_s=self._arrival_s)

    def _tell_starting(self) -> None:
        """What opens their doors may be another set of entries now."""
        for worker in self._workers.living.values():
            if worker.state == STARTING:
                self._tell_all(worker)

    def _tell_all(self, worker: Worker) -> None:
        """The most urgent first."""
        self._tell(worker, dict.fromkeys([*self._versions.by_urgency(), *self._newest, *worker.told()]))

    def _tell(self, worker: Worker, models: Collection[str]) -> None:
        generation = self.wanted.generation
        if worker.killed or generation == 0:
            return
        entries = {model: self._entry(worker, model) for model in models}
        loads = {model: self._versions.handed_over(model) for model in models}
        newest = not worker.older
        worker.bring_up_to_date(Orders(generation if newest else generation - 1, loads, entries, newest))

    def _entry(self, worker: Worker, model: str) -> WorkerEntry | None:
        """What this worker is told of this model."""
        newest = entry = self._newest.get(model)
        if newest is not None and worker.state == STARTING and model in self._unsettled and self.wanted.generation > 1:
            patient = self._starving
            entry = opening_entry(self.wanted, model, newest, self._versions.life, self._accepted_before, patient)
        (worker.older.discard if entry == newest else worker.older.add)(model)
        return with_failures(entry, worker) if entry is not None and worker.troubled else entry

    def _settle(self, models: Iterable[str]) -> None:
        """Where the newest entry is in effect in every accepting worker, the last good one may go."""
        accepting = self._workers.accepting()
        settled = [
            model
            for model in models
            if model in self._unsettled and accepting
            if all(in_effect(worker, model, self.wanted.entries[model], self._versions.life) for worker in accepting)
        ]
        if not settled:
            return
        for model in settled:
            self.wanted.settle(model)
            self._unsettled.discard(model)
        log.info("routes_in_effect", models=settled[:20], count=len(settled), generation=self.wanted.generation)
        self._told_settled()
        self._want(settled)
        self.obey()
