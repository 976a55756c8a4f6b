"""What a worker is told to hold and to route: from what is wanted and how far each version is. Pure.

A worker that opens its doors starts from what is known to work: a model whose newest entry is not in effect yet
gives it the last good one, and a model that has none yet (or whose last one sent requests nowhere) is left out, so
that a version on trial holds up nobody else's successor. Only the replica's first workers wait for everything. Once
it accepts, it gets the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from fairlead_server.models.catalog import ModelEntry, VersionEntry
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State
from fairlead_server.supervisor.steps import Life
from fairlead_server.supervisor.wanted import Wanted
from fairlead_server.supervisor.worker import Worker

UNROUTED = 2  # the rank of what no route needs
FAILURES_TOLD = 2  # loads that fail so often in a worker no longer hold up its doors

LifeOf = Callable[[str, str, VersionEntry], Life | None]


def worker_entry(model: str, entry: ModelEntry, life_of: LifeOf, patient: bool = False) -> WorkerEntry:
    """`patient`: only what has finally failed counts as failed."""
    uids, failed = {}, {}
    for version, wanted in entry.versions.items():
        life = life_of(model, version, wanted)
        handed_over = life is not None and life.state is State.LOADING
        uids[version] = life.uid if life is not None and handed_over else ""
        if life is not None and (life.final if patient else life.told_failed) and not handed_over:
            failed[version] = life.reason
    return WorkerEntry(uids, entry.aliases, entry.route, failed)


def with_failures(entry: WorkerEntry, worker: Worker) -> WorkerEntry:
    """Told to a worker that keeps failing to load a version: do not wait for it."""
    failed = {}
    for version, uid in entry.versions.items():
        held = worker.versions.get(uid)
        if held is not None and held.failures >= FAILURES_TOLD and held.moved.state is not State.READY:
            failed[version] = held.moved.reason
    return msgspec.structs.replace(entry, failed={**entry.failed, **failed}) if failed else entry


def opening_entry(
    wanted: Wanted, model: str, newest: WorkerEntry, life_of: LifeOf, accepted_before: bool, patient: bool = False
) -> WorkerEntry | None:
    """For a worker that does not accept yet. None leaves the model out."""
    if wanted.is_settled(model):
        return newest
    good = wanted.good(model)
    if good is not None and routed(good):
        return worker_entry(model, good, life_of, patient)
    return None if accepted_before else newest


def routed_lives(wanted: Wanted, model: str, life_of: LifeOf) -> Iterator[Life | None]:
    """Of every version that serves this model, or is to."""
    for rank, version, held in by_urgency(wanted, model):
        if rank < UNROUTED:
            yield life_of(model, version, held)


def routed(entry: ModelEntry) -> list[str]:
    """The versions that the route can send a request to."""
    weighted = [version for version, weight in entry.route.weights.items() if weight > 0]
    return [*dict.fromkeys([*weighted, *(match.version for match in entry.route.matches)])]


def by_urgency(wanted: Wanted, model: str) -> Iterator[tuple[int, str, VersionEntry]]:
    """Every version of the model that must be here, with its rank: what serves is 0, what is routed 1, the rest 2."""
    good, newest = wanted.good(model), wanted.entries.get(model)
    if good is not None:
        yield from ((0, version, good.versions[version]) for version in routed(good))
    if newest is not None:
        yield from ((1, version, newest.versions[version]) for version in routed(newest))
    for entry in (newest, good):
        if entry is not None:
            yield from ((UNROUTED, version, held) for version, held in entry.versions.items())


def in_effect(worker: Worker, model: str, entry: ModelEntry, life_of: LifeOf) -> bool:
    """Whether this worker serves the newest entry of this model, every routed version ready."""
    if not worker.told_newest(model):
        return False
    for version in routed(entry):
        life = life_of(model, version, entry.versions[version])
        if life is None or not worker.is_ready(life.uid):
            return False
    return True
