"""What to do next with one version of the replica: a pure decision.

    WANTED --Fetch--> FETCHING --> WANTED (with a path) --Try--> TRYING --> LOADING (handed to the workers)
                                        \\-------------HandOver, where a proof is at hand-----/
    any of them --Fail--> FAILED --Again, after its pause, unless final--> WANTED

From LOADING on, the workers tell how far it is. No clock, no process and no disk here.
"""

from __future__ import annotations

import dataclasses

from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.states import State

DEFAULTS = VersionSettings()


@dataclasses.dataclass(frozen=True)
class Life:
    """How far the replica is with one wanted version. `path` is set once it is fetched, `uid` with it."""

    state: State
    since: float  # Unix time
    reason: str = ""
    final: bool = False
    attempts: int = 0  # that failed, in a row
    retry_at: float = 0.0
    path: str = ""
    digest: str = ""
    bytes: int = 0
    settings: VersionSettings = DEFAULTS
    uid: str = ""

    @property
    def told_failed(self) -> bool:
        """Whether the workers should stop waiting for it: finally failed, or failed again after a retry. Not so where
        a new replica has nothing else (`Obedience`)."""
        return self.final or (self.attempts >= 2 and self.state is not State.LOADING)


@dataclasses.dataclass(frozen=True)
class Around:
    """What else decides. `refusal` is memory's; `never`: it would not fit even alone."""

    now: float
    may_fetch: bool = True
    may_try: bool = True
    proven: bool = False
    condemned: str = ""
    refusal: str = ""
    never: bool = False


@dataclasses.dataclass(frozen=True)
class Fetch:
    pass


@dataclasses.dataclass(frozen=True)
class Try:
    pass


@dataclasses.dataclass(frozen=True)
class HandOver:
    pass


@dataclasses.dataclass(frozen=True)
class Again:
    pass


@dataclasses.dataclass(frozen=True)
class Fail:
    reason: str
    final: bool


Step = Fetch | Try | HandOver | Again | Fail


def next_step(life: Life, around: Around) -> Step | None:
    if life.state is State.FAILED:
        return Again() if not life.final and around.now >= life.retry_at else None
    if around.condemned:
        return Fail(around.condemned, final=True)
    if life.state is not State.WANTED:
        return None
    if not life.path:
        return Fetch() if around.may_fetch else None
    if around.refusal:
        return Fail(around.refusal, around.never)
    if around.proven:
        return HandOver()
    return Try() if around.may_try else None
