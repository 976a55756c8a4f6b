"""The status document, from what the supervisor knows. Pure: values in, the document out.

Over the accepting workers (over all, while none accepts): ready means in every one, failed means in any.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from fairlead_server.link.messages import VersionCounts
from fairlead_server.models.catalog import FEATURES, ModelEntry
from fairlead_server.models.states import State
from fairlead_server.models.status import (
    API_VERSION,
    ModelStatus,
    Readings,
    Status,
    VersionStatus,
    WorkerStatus,
    WorkerVersion,
)
from fairlead_server.supervisor.counts import Key, readings
from fairlead_server.supervisor.journal import Proof
from fairlead_server.supervisor.orders import LifeOf
from fairlead_server.supervisor.steps import Life
from fairlead_server.supervisor.wanted import Wanted
from fairlead_server.supervisor.worker import ACCEPTING, Standing, Worker

_STATES = list(State)
_ORDER = {state: place for place, state in enumerate(_STATES)}
NONE_YET = Readings()


@dataclasses.dataclass(frozen=True)
class View:
    """All that the document is made of."""

    replica: str
    boot: str
    wanted: Wanted
    workers: Sequence[Worker]
    life_of: LifeOf
    proof_of: Callable[[str], Proof | None]
    totals: Mapping[Key, VersionCounts]
    conditions: Mapping[str, str]
    draining: bool
    memory_bytes: int
    memory_limit_bytes: int

    @functools.cached_property
    def accepting(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == ACCEPTING]

    @functools.cached_property
    def counting(self) -> Sequence[Worker]:
        """Those whose states make the replica's."""
        return self.accepting or self.workers


class Aggregate(NamedTuple):
    """A version's state in the replica."""

    state: State
    since: float
    reason: str = ""
    final: bool = False


def build(view: View) -> Status:
    accepting = view.accepting
    return Status(
        apiVersion=API_VERSION,
        replica=view.replica,
        boot=view.boot,
        generation=view.wanted.generation,
        applied=min((worker.generation for worker in accepting), default=0),
        ready=bool(accepting) and not view.draining,
        draining=view.draining,
        models={model: model_status(view, model) for model in _models(view.wanted)},
        owner=view.wanted.owner,
        features=tuple(sorted(FEATURES)),
        workers=tuple(_worker(worker) for worker in view.workers),
        conditions=dict(view.conditions),
        memory_bytes=view.memory_bytes,
        memory_limit_bytes=view.memory_limit_bytes,
    )


def model_status(view: View, model: str) -> ModelStatus:
    entry, good = view.wanted.entries.get(model), view.wanted.good(model)
    accepting = view.accepting
    versions: dict[str, VersionStatus] = {}
    for held in (entry, good):
        for version in held.versions if held is not None else ():
            versions.setdefault(version, _version(view, model, version, held))
    last = min(accepting, key=lambda worker: worker.effective(model), default=None)
    reasons = [view.wanted.faults.get(model, ""), *(worker.pending.get(model, "") for worker in accepting)]
    return ModelStatus(
        applied=last.effective(model) if last is not None else 0,
        versions=versions,
        route=_spread(last.routes.get(model, {})) if last is not None else {},
        reason="; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    )


def _spread(weights: Mapping[str, float]) -> dict[str, float]:
    """Those that get requests: a weight of 0 keeps a version loaded, and is no part of the route in effect."""
    return {version: weight for version, weight in weights.items() if weight > 0}


def _models(wanted: Wanted) -> Iterable[str]:
    return dict.fromkeys([*wanted.entries, *wanted.faults])


def _version(view: View, model: str, version: str, entry: ModelEntry | None) -> VersionStatus:
    assert entry is not None
    life = view.life_of(model, version, entry.versions[version]) or Life(State.WANTED, 0.0)
    standings = {worker.id: worker.versions[life.uid] for worker in view.workers if life.uid in worker.versions}
    proof = view.proof_of(life.uid) if life.uid else None
    total = view.totals.get((model, version))
    state = aggregate(life, [standings.get(worker.id) for worker in view.counting])
    return VersionStatus(
        state=state.state,
        since=state.since,
        reason=state.reason,
        final=state.final,
        digest=life.digest,
        signature=proof.signature if proof is not None else None,
        profile=proof.profile if proof is not None else None,
        readings=readings(total) if total is not None else NONE_YET,
        workers={name: _in_worker(held) for name, held in standings.items()},
    )


def aggregate(life: Life, standings: Sequence[Standing | None]) -> Aggregate:
    """The replica's state of a version: its own until it is handed over, then that of the workers."""
    own = Aggregate(life.state, life.since, life.reason, life.final)
    if life.state is not State.LOADING or not standings:
        return own
    moves = [held.moved for held in standings if held is not None]
    failed = [moved for moved in moves if moved.state is State.FAILED]
    if failed:
        first = min(failed, key=lambda moved: moved.since)
        return Aggregate(State.FAILED, first.since, first.reason, any(moved.final for moved in failed))
    if len(moves) < len(standings):  # a worker has not said anything of it yet
        return own
    least = min(_ORDER[moved.state] for moved in moves)
    state = max(least, _ORDER[State.LOADING])
    return Aggregate(_STATES[state], max([moved.since for moved in moves]), life.reason, life.final)


def _in_worker(held: Standing) -> WorkerVersion:
    return WorkerVersion(held.moved.state, held.moved.since, held.moved.reason)


def _worker(worker: Worker) -> WorkerStatus:
    return WorkerStatus(
        id=worker.id,
        pid=worker.child.pid,
        state=worker.state,
        since=worker.since,
        generation=worker.generation,
        rss_bytes=worker.counts.rss_bytes if worker.counts is not None else 0,
    )
