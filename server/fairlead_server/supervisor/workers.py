"""The workers of the replica: started, heard, replaced one by one, and accounted for when they end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from fairlead_server import log
from fairlead_server.batching import marks
from fairlead_server.link.messages import Broken, Counts, ToSupervisor
from fairlead_server.supervisor.children import Child, Ending, Launch
from fairlead_server.supervisor.counts import Ledger
from fairlead_server.supervisor.crew import Around, DrainOne, Kill, Stand, Start, next_move
from fairlead_server.supervisor.times import Times, back_off
from fairlead_server.supervisor.worker import ACCEPTING, DRAINING, Worker

LATE_S = 1.0  # a look that comes so late was held up itself, and cannot call others stuck
END_S = 2.0  # after its grace, a worker may take so long to end
TOLD_S = 600.0  # a lost device and a stuck loop are told in the status for so long


class Listener(Protocol):
    """Who is told how the workers fare."""

    def started(self, worker: Worker) -> None: ...

    def heard(self, worker: Worker, message: ToSupervisor) -> None: ...

    def blamed(self, uids: tuple[str, ...], cause: str) -> Awaitable[None]: ...


@dataclasses.dataclass(frozen=True)
class Mishap:
    """What befell a worker, for the status. `uids`: what was running then."""

    worker: str
    why: str
    uids: tuple[str, ...]
    told_until: float


class Workers:
    """`http_fd` is the socket that all of them accept from; `both_fit` asks memory for room for a successor."""

    def __init__(self, launch: Launch, http_fd: int, times: Times, listener: Listener) -> None:
        self.launch = launch
        self._http_fd = http_fd
        self._times = times
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = False
        self.started = 0
        self._crashes = 0
        self._start_after = 0.0
        self._looked = time.monotonic()
        self.living: dict[str, Worker] = {}
        self.ledger = Ledger()
        self.wanted = 0
        self.cores_each = 1
        self.both_fit: Callable[[], bool] = lambda: True
        self.ended_by_signal = 0
        self.ended_stuck = 0
        self._mishaps: dict[str, Mishap] = {}

    # asked

    def accepting(self) -> list[Worker]:
        return [worker for worker in self.living.values() if worker.state == ACCEPTING and not worker.killed]

    @property
    def crash_loop(self) -> str:
        """Why no worker is started at once any more, or ""."""
        return f"{self._crashes} workers in a row ended soon after their start" if self._crashes > 1 else ""

    @property
    def mishaps(self) -> dict[str, Mishap]:
        """The last of each kind, by the condition's name."""
        now = time.monotonic()
        return {name: mishap for name, mishap in self._mishaps.items() if mishap.told_until > now}

    def memory_bytes(self) -> int:
        return sum(worker.child.memory_bytes() for worker in self.living.values())

    # told

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._looked > LATE_S:
            for worker in self.living.values():
                worker.heard = now
        self._looked = now
        for _ in range(2 * len(self.living) + 2):
            if self._starting:
                return
            move = next_move(self._stands(), self._around(now), self._times)
            if move is None:
                return
            self._do(move)

    def replace(self, worker: Worker) -> None:
        """A successor first, then this one drains."""
        worker.leaving = True
        self.tick()

    def replace_all(self) -> None:
        for worker in self.living.values():
            worker.leaving = True

    def drain_all(self) -> None:
        """The replica leaves: no successors."""
        self.wanted = 0
        for worker in self.living.values():
            if worker.state != DRAINING:
                self._drain(worker)

    async def gone(self, limit_s: float) -> None:
        """Until all have ended, killing those that live after `limit_s`."""
        until = time.monotonic() + limit_s
        while self.living or self._starting:
            if time.monotonic() > until:
                self.kill_all()
            await asyncio.sleep(0.02)

    def kill(self, worker: Worker, why: str) -> None:
        """It counts as gone at once: its successor need not wait for its end."""
        log.warning("worker_killed", worker=worker.id, why=why)
        worker.killed = True
        worker.child.kill()

    def kill_all(self) -> None:
        for worker in self.living.values():
            worker.child.kill()

    # inside

    def _stands(self) -> list[Stand]:
        return [_stand(worker) for worker in self.living.values() if not worker.killed]

    def _around(self, now: float) -> Around:
        return Around(now, self.wanted, self._start_after, self.both_fit())

    def _do(self, move: Start | DrainOne | Kill) -> None:
        if isinstance(move, Start):
            self._starting = True
            self._keep(self._start())
        elif isinstance(move, DrainOne):
            self._drain(self.living[move.id])
        else:
            worker = self.living[move.id]
            if worker.state != DRAINING:
                self._note_stuck(worker, move.why)
            self.kill(worker, move.why)

    def _note_stuck(self, worker: Worker, why: str) -> None:
        """Only a run on the loop's own thread holds up the loop: others that are under way are told, not blamed."""
        self.ended_stuck += 1
        worker.hung = marks.read_in_place(worker.marks_fd)
        running = worker.hung or marks.read(worker.marks_fd)
        log.error("worker_stuck", worker=worker.id, why=why, running=running, blamed=worker.hung)
        self._mishaps["WorkerStuck"] = Mishap(worker.id, why, running, time.monotonic() + TOLD_S)

    def _drain(self, worker: Worker) -> None:
        drain = self.launch.settings.drain
        log.info("worker_draining", worker=worker.id)
        worker.drain(drain.grace_s, drain.idle_s)
        worker.drain_until += END_S

    async def _start(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        fd = marks.create()
        try:
            arguments = ["--id", name, "--http-fd", str(self._http_fd), "--marks-fd", str(fd)]
            arguments += ["--cores", str(self.cores_each)]
            child = await Child.start("worker", self.launch, ToSupervisor, arguments, [self._http_fd, fd])
        except OSError as fault:
            os.close(fd)
            self._crashed()
            log.error("worker_not_started", worker=name, reason=str(fault))
            return
        finally:
            self._starting = False
        worker = Worker(name, child, fd)
        self.living[name] = worker
        log.info("worker_started", worker=name, pid=child.pid)
        self._listener.started(worker)
        self._keep(self._listen(worker))

    async def _listen(self, worker: Worker) -> None:
        while (message := await worker.child.receive()) is not None:
            worker.hear(message, self._times)
            if isinstance(message, Counts):
                self.ledger.update(worker.id, message)
            elif isinstance(message, Broken):
                self._broke(worker, message)
            self._listener.heard(worker, message)
        ending = await worker.child.ending(self._times.end)
        self.living.pop(worker.id, None)
        self.ledger.end(worker.id)
        uids, cause = _blamed(worker, ending)
        os.close(worker.marks_fd)
        self._account(worker, ending)
        if uids:
            await self._listener.blamed(uids, cause)
        self.tick()

    def _broke(self, worker: Worker, broken: Broken) -> None:
        """Only its process's end frees the device; its successor comes as that of a dead one, in the same pace."""
        log.error("worker_broken", worker=worker.id, why=broken.reason, blamed=broken.uids)
        self._mishaps["DeviceLost"] = Mishap(worker.id, broken.reason, broken.uids, time.monotonic() + TOLD_S)
        self._pace(worker)
        if broken.uids:
            self._keep(self._listener.blamed(broken.uids, broken.reason))
        self.tick()

    def _account(self, worker: Worker, ending: Ending) -> None:
        write = log.error if ending.by_signal or ending.status > 0 else log.info
        write("worker_ended", worker=worker.id, pid=worker.child.pid, how=str(ending), ours=ending.ours)
        self.ended_by_signal += ending.by_signal
        if worker.state != DRAINING and not worker.broken:
            self._pace(worker)

    def _pace(self, worker: Worker) -> None:
        if time.monotonic() - worker.child.started < self._times.calm:
            self._crashed()
        else:
            self._crashes = 0

    def _crashed(self) -> None:
        """The first successor starts at once, the next after a pause."""
        self._crashes += 1
        if self._crashes > 1:
            pause = back_off(self._times.crash, self._times.crash_most, self._crashes - 1)
            self._start_after = time.monotonic() + pause

    def _keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            fault = task.exception()
            if fault is not None:
                log.error("supervisor_fault", fault=repr(fault))


def _blamed(worker: Worker, ending: Ending) -> tuple[tuple[str, ...], str]:
    """The versions that this end counts against, and why. A lost device was told by its worker already."""
    if ending.by_signal and not worker.broken:
        return marks.read(worker.marks_fd) or worker.running(), str(ending)
    return worker.hung, "it hung while this ran"


def _stand(worker: Worker) -> Stand:
    return Stand(
        worker.id, worker.state, worker.child.started, worker.heard, worker.greeted, worker.leaving, worker.drain_until
    )
