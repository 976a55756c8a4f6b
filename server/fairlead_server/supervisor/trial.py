"""The trial worker: one unproven version is opened, warmed and smoke-tested where nobody else can be hurt.

    version --> process (fresh, or one that has only passed so far) --> passed      the process may take the next
                                                                    --> anything else, and the process goes:
                    where it was fresh, that is the verdict; else the version is tried again, alone in a fresh one

One trial at a time, one version after the other. To start a process takes far longer than to try a small model, so a
process is used for several; blame and measurement stay exact, since a bad verdict counts only in a process that has
seen nothing else, and one that keeps memory of what it tried ends itself (`worker.trial`). What was measured is the
proof that all workers trust afterwards. What a verdict means for the version is decided by the caller.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from fairlead_server.link.messages import Load, Moved, ToSupervisor
from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.models.states import State
from fairlead_server.supervisor.children import Child, Ending, Launch
from fairlead_server.supervisor.times import Times


@dataclasses.dataclass(frozen=True)
class Passed:
    signature: Signature
    profile: Profile


@dataclasses.dataclass(frozen=True)
class Refused:
    """The trial said so, or ended in a way that is not the version's crime."""

    reason: str
    final: bool


@dataclasses.dataclass(frozen=True)
class Died:
    """By a signal that the supervisor did not send."""

    cause: str


Verdict = Passed | Refused | Died


class Trials:
    """`serving`: whether there is traffic that a trial must not be felt by."""

    def __init__(self, launch: Launch, times: Times, serving: Callable[[], bool] = lambda: False) -> None:
        self._launch = launch
        self._times = times
        self._serving = serving
        self._spare: asyncio.Task[Child] | None = None  # given nothing yet
        self._used: Child | None = None  # all that it tried has passed
        self._running: Child | None = None
        self._ended_for = ""
        self._dropping: asyncio.Task[None] | None = None
        self.busy = False

    def prepare(self) -> None:
        """Start the process while its version is still being fetched."""
        if self._spare is None and self._used is None and not self.busy:
            self._spare = self._start()

    async def run(self, load: Load, *, alone: bool = False) -> Verdict:
        """`alone`: in a process that tries nothing else, neither before nor after it."""
        assert not self.busy
        self.busy, self._ended_for = True, ""
        try:
            used = self._used
            if used is not None and not alone and used.running():
                verdict = await self._in(used, load, last=False)
                if isinstance(verdict, Passed) or self._ended_for:
                    return verdict
            return await self._in(await self._take_spare(), load, last=alone)
        finally:
            self.busy = False

    async def _in(self, child: Child, load: Load, *, last: bool) -> Verdict:
        """Its process goes with every verdict but a good one."""
        self._running, self._used, passed = child, None, False
        if self._serving():
            child.give_way(self._times.patience)
        try:
            verdict = await self._try(child, load)
            passed = isinstance(verdict, Passed)
            return verdict
        finally:
            self._running = None
            if passed and not last:
                self._used = child
            else:
                await self._kill(child)

    def _start(self) -> asyncio.Task[Child]:
        return asyncio.get_running_loop().create_task(self._started())

    async def _started(self) -> Child:
        """To start takes a second of the processor, which is to be felt as little as the trial itself."""
        child = await Child.start("trial", self._launch, ToSupervisor)
        if self._serving():
            child.give_way(self._times.patience)
        return child

    async def _take_spare(self) -> Child:
        """A fresh process, and no other beside it."""
        await self._drop_used()
        spare, self._spare = self._spare or self._start(), None
        child = await spare
        return child if child.running() else await self._start()

    def end(self, reason: str) -> bool:
        """End the trial that runs, if one does; it is refused with this reason."""
        child = self._running or self._used
        if child is None:
            return False
        self._ended_for = reason
        child.kill()
        return True

    def drop_spare_soon(self) -> None:
        waits = self._used is not None or (self._spare is not None and self._spare.done())
        if waits and not self.busy and (self._dropping is None or self._dropping.done()):
            self._dropping = asyncio.get_running_loop().create_task(self.drop_spare())

    async def drop_spare(self) -> None:
        """No version is left that would need it."""
        await self._drop_used()
        if self._spare is not None:
            spare, self._spare = self._spare, None
            await self._kill(await spare)

    async def _drop_used(self) -> None:
        if self._used is not None:
            used, self._used = self._used, None
            await self._kill(used)

    async def _kill(self, child: Child) -> None:
        child.kill()
        await child.ending(self._times.end)

    def memory_bytes(self) -> int:
        return sum(child.memory_bytes() for child in (self._running, self._used) if child is not None)

    async def _try(self, child: Child, load: Load) -> Verdict:
        child.send(load)
        try:
            async with asyncio.timeout(self._times.trial):
                while (message := await child.receive()) is not None:
                    if isinstance(message, Moved) and message.uid == load.uid:
                        verdict = _verdict(message)
                        if verdict is not None:
                            return verdict
        except TimeoutError:
            return Refused(f"its trial did not end within {self._times.trial:.0f} s", final=False)
        ending = await child.ending(self._times.end)
        return self._of(ending)

    def _of(self, ending: Ending) -> Verdict:
        if self._ended_for:
            return Refused(self._ended_for, final=False)
        if ending.by_signal:
            return Died(f"{ending}, while it was loaded and warmed in its trial")
        return Refused(f"its trial gave no verdict: {ending}", final=False)


def _verdict(moved: Moved) -> Verdict | None:
    if moved.state is State.READY and moved.signature is not None and moved.profile is not None:
        return Passed(moved.signature, moved.profile)
    if moved.state is State.FAILED:
        return Refused(moved.reason, moved.final)
    return None
