"""The supervisor of one replica, put together: sockets, children, catalog, doors, and the order of leaving.

    start: ports -> children -> stored catalog -> doors            (all before any model is loaded)
    leave: not ready -> time for the balancers -> workers drain -> the socket is emptied -> the rest ends

Runs on one event loop, on any thread that lives as long as the replica; signals are the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fairlead_server import log
from fairlead_server.doors.metrics import Scrape
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.status import Status
from fairlead_server.settings import ReplicaSettings
from fairlead_server.supervisor import memory
from fairlead_server.supervisor.blocks import Home
from fairlead_server.supervisor.carrier import Carrier
from fairlead_server.supervisor.children import COMMAND, Launch
from fairlead_server.supervisor.fetching import Fetcher
from fairlead_server.supervisor.guard import Guard
from fairlead_server.supervisor.journal import Journal
from fairlead_server.supervisor.obedience import Obedience
from fairlead_server.supervisor.reception import Reception
from fairlead_server.supervisor.scraping import scrape
from fairlead_server.supervisor.shelf import watch_folder
from fairlead_server.supervisor.slots import Record, Slots
from fairlead_server.supervisor.status import View, build
from fairlead_server.supervisor.times import Times
from fairlead_server.supervisor.trial import Trials
from fairlead_server.supervisor.usage import Meter, Usage
from fairlead_server.supervisor.versions import Versions
from fairlead_server.supervisor.waiting import WaitingRoom
from fairlead_server.supervisor.wanted import Kept, Wanted
from fairlead_server.supervisor.workers import Mishap, Workers

DEAD_S = 15.0  # a loop that has not turned for so long does not live
REPLACE_S = 600.0
CHANGEABLE = ("workers", "cores", "memory_limit_bytes", "gpu_memory_bytes", "log_level", "limits", "drain")


class Supervisor:
    """`home` is taken before (`blocks.take_home`), since that may fail, and wait. Make it inside its loop."""

    def __init__(self, home: Home, times: Times | None = None, command: tuple[str, ...] = COMMAND) -> None:
        self.boot = uuid.uuid4().hex[:12]
        self._home = home
        self._times = times or Times()
        self._settings = home.settings
        self._folder = Path(self._settings.state_dir)
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: asyncio.Task[None] | None = None
        self._alone_since = self._looked = time.monotonic()
        self.draining = False
        launch = Launch(self._settings, self.boot, command)
        self._journal = Journal.open(self._folder / "journal")
        self._fetcher = Fetcher(launch, self._times, self._is_serving)
        self._trials = Trials(launch, self._times, self._is_serving)
        slots = Slots(self._folder)
        self._recalled = _recalled(slots)
        self._obedience = Obedience(
            Wanted(_kept(self._recalled)), self._fetcher.forget, self._renew, self._look_at_door, self._times.arrival
        )
        self._workers = Workers(launch, home.ports.http.fileno(), self._times, self._obedience)
        self._versions = Versions(
            (self._fetcher, self._trials), self._journal, self._times, self._may_load, self._obedience.changed
        )
        self._obedience.join(self._versions, self._workers)
        self._guard = self._new_guard()
        self._meter = Meter(self._settings.cores or memory.cpu_cores(), gpu=self._settings.gpus > 0)
        self._waiting = WaitingRoom(home.ports.http)
        self._carrier = Carrier(slots, self._obedience.kept_after, self._obedience.take)
        self._reception = Reception(self, home.ports, self._settings)

    @property
    def settings(self) -> ReplicaSettings:
        """With the ports and the directory that were really taken."""
        return self._settings

    async def start(self) -> None:
        """Returns when the control API and the metrics answer; workers come up meanwhile."""
        log.configure(self._settings.log_level, replica=self._settings.replica, boot=self.boot)
        log.info("replica_started", **self._home.ports.numbers(), state_dir=str(self._folder))
        self._size_workers()
        self._workers.tick()
        self._keep("fetcher", self._fetcher.run())
        if self._recalled is not None:
            await self._carrier.recall(self._recalled.document)
            self._recalled = None
        if self._settings.catalog_file:
            self._keep("catalog file", self._carrier.watch_file(Path(self._settings.catalog_file), self._times.poll))
        elif self._settings.models:
            self._keep("folder", watch_folder(self._carrier, Path(self._settings.models), self._times.scan))
        self._keep("look", self._look_after())
        await asyncio.sleep(0)
        self._reception.open()

    # what the control API asks

    async def put_catalog(self, data: bytes, takeover: bool) -> int:
        return await self._carrier.offer(data, takeover=takeover)

    def catalog(self) -> bytes:
        if self._carrier.stored is None:
            raise ServingError(Kind.NOT_FOUND, "no catalog is stored here yet: PUT one")
        return self._carrier.stored.data

    def status(self) -> Status:
        return build(self._view())

    async def drain(self) -> None:
        """Once, however often it is called, and whoever stops waiting for it."""
        if self._leaving is None:
            self.draining = True
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
        await asyncio.shield(self._leaving)

    async def replace(self, worker: str) -> list[str]:
        old = self._workers.living.get(worker)
        if old is None:
            known = ", ".join(self._workers.living) or "none"
            raise ServingError(Kind.NOT_FOUND, f"there is no worker {worker!r} here; there are {known}")
        if self.draining:
            raise ServingError(Kind.LEAVING, "this replica is draining")
        self._workers.replace(old)
        until = time.monotonic() + REPLACE_S
        while worker in self._workers.living:
            if time.monotonic() > until:
                raise ServingError(Kind.DEADLINE, f"{worker} is still there: see /control/status")
            await asyncio.sleep(0.02)
        return [held.id for held in self._workers.accepting()]

    # what the metrics port asks

    def scrape(self) -> Scrape:
        return scrape(self._view(), self._workers, self._waiting.answered)

    def not_ready(self) -> str:
        if self.draining:
            return "this replica is draining"
        accepting = self._workers.accepting()
        if not accepting:
            return "no worker accepts yet" if self._carrier.stored is not None else "no catalog has come yet"
        return "a device is lost: see /control/status" if all(worker.broken for worker in accepting) else ""

    # what the engine asks

    def has_nothing_to_serve(self) -> bool:
        """No catalog came yet, and none is on the way."""
        settings = self._settings
        return (
            self._carrier.stored is None
            and not Path(settings.catalog_file or settings.models or "/dev/null/-").exists()
        )

    @property
    def has_catalog(self) -> bool:
        return self._carrier.stored is not None

    @property
    def alive(self) -> bool:
        """May be asked from any thread."""
        return time.monotonic() - self._looked < DEAD_S

    def usage(self) -> Usage | None:
        """Since it was asked last; None while no worker accepts, or the first time."""
        totals = {key: counts for key, counts in self._workers.ledger.totals().items() if counts.requests}
        pids = [worker.child.pid for worker in self._workers.accepting()]
        slo_ms = {key: self._obedience.wanted.slo_ms(*key) for key in totals}
        return self._meter.read(time.monotonic(), pids, totals, slo_ms)

    @property
    def drained(self) -> bool:
        return self._leaving is not None and self._leaving.done()

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """New settings for the same replica: its workers are replaced by such with the new ones. Raises ValueError."""
        unknown = sorted(config.keys() - set(CHANGEABLE))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} cannot change while a replica lives; {', '.join(CHANGEABLE)} can")
        changed = msgspec.convert({**msgspec.to_builtins(self._settings), **config}, ReplicaSettings)
        if changed == self._settings:
            return
        self._settings = changed
        log.configure(changed.log_level, replica=changed.replica, boot=self.boot)
        self._workers.launch = Launch(changed, self.boot, self._workers.launch.command)
        self._guard = self._new_guard()
        self._size_workers()
        self._workers.replace_all()

    async def stop(self) -> None:
        """End everything now; `drain` before it, to lose nothing."""
        self._workers.wanted = 0
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._versions.forget_all()
        self._workers.kill_all()
        await self._workers.gone(self._times.end)
        await self._trials.drop_spare()
        await self._fetcher.stop()
        await self._reception.close()
        self._home.close()
        log.info("replica_ended")

    # inside

    def _renew(self) -> None:
        self._carrier.renew()

    async def _leave(self) -> None:
        drain = self._settings.drain
        log.info("replica_draining", balancer_s=drain.balancer_s, grace_s=drain.grace_s)
        await asyncio.sleep(drain.balancer_s)
        self._workers.drain_all()
        self._waiting.open("this replica is leaving: another one will answer", 1)
        await self._workers.gone(drain.grace_s + self._times.end)
        await self._waiting.empty()
        log.info("replica_drained")

    async def _look_after(self) -> None:
        """Everything that time brings."""
        beat = 0
        while True:
            self._looked = time.monotonic()
            try:
                self._look(beat)
            except Exception as fault:
                log.error("supervisor_fault", fault=repr(fault))
            beat += 1
            await asyncio.sleep(self._times.tick)

    def _look(self, beat: int) -> None:
        self._workers.tick()
        self._versions.tick()
        self._obedience.look()
        self._look_at_door()
        if beat % max(1, round(1 / self._times.tick)) == 0:
            self._guard.look()

    def _look_at_door(self) -> None:
        """Also as soon as a worker accepts: whoever is told "ready" must not be turned away afterwards."""
        if self.draining:
            return
        now = time.monotonic()
        if self._workers.accepting():
            self._alone_since = now
            self._waiting.close()
        elif now - self._alone_since >= self._times.waiting and not self._waiting.is_open:
            self._waiting.open("no worker of this replica is ready: try again", 1)

    def _is_serving(self) -> bool:
        return bool(self._workers.accepting())

    def _may_load(self, need: memory.Need, others: memory.Taken) -> tuple[str, bool]:
        workers = self._settings.workers
        reason, never = memory.refusal(need, self._guard.limit, workers, [others.bytes])
        if reason:
            return reason, never
        return memory.gpu_refusal(need, self._settings.gpu_memory_bytes, workers, others.gpu)

    def _both_fit(self) -> bool:
        taken, settings = self._versions.taken, self._settings
        return memory.both_fit(self._guard.limit, settings.workers, [taken.bytes]) and memory.gpu_both_fit(
            settings.gpu_memory_bytes, settings.workers, taken.gpu
        )

    def _new_guard(self) -> Guard:
        limit = memory.limit_bytes(self._settings.memory_limit_bytes)
        contained = not self._settings.memory_limit_bytes
        return Guard(limit, contained, self._fetcher, self._trials, self._workers)

    def _size_workers(self) -> None:
        cores = self._settings.cores or memory.cpu_cores()
        self._workers.cores_each = max(1, cores // max(1, self._settings.workers))
        self._workers.wanted = 0 if self.draining else self._settings.workers
        self._workers.both_fit = self._both_fit

    def _conditions(self) -> dict[str, str]:
        named = {
            "CatalogFile": self._carrier.fault,
            "CrashLoop": self._workers.crash_loop,
            "MemoryFull": self._guard.condition,
            "NothingFetched": self._obedience.starving,
        }
        named |= {name: self._told(mishap) for name, mishap in self._workers.mishaps.items()}
        return {**self._fetcher.conditions, **{name: why for name, why in named.items() if why}}

    def _told(self, mishap: Mishap) -> str:
        models = ", ".join(dict.fromkeys(filter(None, map(self._versions.model_of, mishap.uids))))
        return f"{mishap.worker}: {mishap.why}" + (f" (running: {models})" if models else "")

    def _view(self) -> View:
        return View(
            replica=self._settings.replica,
            boot=self.boot,
            wanted=self._obedience.wanted,
            workers=list(self._workers.living.values()),
            life_of=self._versions.life,
            proof_of=self._versions.proof,
            totals=self._workers.ledger.totals(),
            conditions=self._conditions(),
            draining=self.draining,
            memory_bytes=self._guard.used,
            memory_limit_bytes=self._guard.limit,
        )

    def _keep(self, part: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(_told(part, work)))


async def _told(part: str, work: Coroutine[Any, Any, None]) -> None:
    """A part that ends by a fault says so, instead of being missed."""
    try:
        await work
    except Exception as fault:
        log.error("supervisor_part_failed", part=part, fault=repr(fault))
        raise


def _recalled(slots: Slots) -> Record | None:
    try:
        return slots.read()
    except OSError as fault:
        log.error("stored_catalog_unusable", reason=str(fault))
        return None


def _kept(recalled: Record | None) -> Kept:
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(recalled.kept, type=Kept) if recalled is not None else Kept()
    return Kept()
