"""The trial worker: one unproven version is opened, warmed and smoke-tested where nobody else can be hurt.

One trial at a time, one version in each. What it measured is the proof that all workers trust afterwards. How
it ended is told as it was; what that means for the version is decided by the caller.
"""

from __future__ import annotations

import asyncio
import dataclasses

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
    def __init__(self, launch: Launch, times: Times) -> None:
        self._launch = launch
        self._times = times
        self._spare: asyncio.Task[Child] | None = None
        self._running: Child | None = None
        self._ended_for = ""
        self._dropping: asyncio.Task[None] | None = None
        self.busy = False

    def prepare(self) -> None:
        """Start the process while its version is still being fetched."""
        if self._spare is None and not self.busy:
            self._spare = self._start()

    async def run(self, load: Load) -> Verdict:
        assert not self.busy
        self.busy, self._ended_for = True, ""
        try:
            self._running = await self._take_spare()
            return await self._try(self._running, load)
        finally:
            child, self._running, self.busy = self._running, None, False
            if child is not None:
                child.kill()
                await child.ending(self._times.end)

    def _start(self) -> asyncio.Task[Child]:
        return asyncio.get_running_loop().create_task(Child.start("trial", self._launch, ToSupervisor))

    async def _take_spare(self) -> Child:
        spare, self._spare = self._spare or self._start(), None
        child = await spare
        return child if child.running() else await self._start()

    def end(self, reason: str) -> bool:
        """End the trial that runs, if one does; it is refused with this reason."""
        if self._running is None:
            return False
        self._ended_for = reason
        self._running.kill()
        return True

    def drop_spare_soon(self) -> None:
        if self._spare is not None and self._spare.done() and (self._dropping is None or self._dropping.done()):
            self._dropping = asyncio.get_running_loop().create_task(self.drop_spare())

    async def drop_spare(self) -> None:
        """No version is left that would need it."""
        if self._spare is not None:
            spare, self._spare = self._spare, None
            child = await spare
            child.kill()
            await child.ending(self._times.end)

    def memory_bytes(self) -> int:
        return self._running.memory_bytes() if self._running is not None else 0

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
