"""Which route of a model is in effect: a pure step from the wanted entry and the last good one.

    every routed version of the wanted entry is ready           -> the wanted route
    else, and there was a good one before                       -> that one stays, whatever the wanted one lacks
    else, and those not ready have finally failed, some ready   -> the wanted route over those that are ready
    else                                                        -> none: the model is not ready, and says why

Nothing here loads, counts or closes. What is `needed` here is not closed: that is the promise that
traffic never goes to a version that is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from fairlead_server.models.catalog import Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How far one version is. `final`: failed, and not tried again unasked."""

    state: State
    reason: str = ""
    final: bool = False


Look = Callable[[str], Standing | None]  # by uid; None for one that this worker was never told to load


@dataclasses.dataclass(frozen=True, slots=True)
class Effective:
    """One model as requests meet it now.

    `uids` maps every known version to the uid that answers for it (ready or not; "" where there is none yet).
    `pending` says why the wanted route is not in effect (""  when it is). `settled`: every routed version of
    the wanted entry is ready or has finally failed.
    """

    uids: Mapping[str, str]
    aliases: Mapping[str, str]
    route: Route | None
    needed: frozenset[str]
    pending: str
    settled: bool


def routed(route: Route) -> tuple[str, ...]:
    """The versions that the route can send a request to."""
    weighted = [version for version, weight in route.weights.items() if weight > 0]
    return tuple(dict.fromkeys([*weighted, *(match.version for match in route.matches)]))


def settle(wanted: WorkerEntry, last: Effective | None, look: Look) -> Effective:
    """What is in effect, given what is wanted, what was in effect, and how far every version is."""
    standings = {version: standing(wanted, version, look) for version in routed(wanted.route)}
    missing = {version: held for version, held in standings.items() if held.state is not State.READY}
    pending = "; ".join(told(version, held) for version, held in missing.items())
    settled = all(held.final for held in missing.values())
    if not missing:
        return _in_effect(wanted, last, wanted.route, look, ("", True))
    if last is not None and last.route is not None:
        return _kept(wanted, last, last.route, look, (pending, settled))
    route = _restricted(wanted.route, set(missing)) if settled and len(missing) < len(standings) else None
    return _in_effect(wanted, last, route, look, (pending, settled))


def standing(entry: WorkerEntry, version: str, look: Look) -> Standing:
    """How far `version` of this entry is in this worker."""
    uid = entry.versions.get(version, "")
    held = look(uid) if uid else None
    if version in entry.failed and (held is None or held.state is not State.READY):
        return Standing(State.FAILED, entry.failed[version], final=True)
    return held or Standing(State.WANTED, "it has not been fetched and proven yet")


def told(version: str, held: Standing) -> str:
    """For a client and for the status."""
    return f"version {version} is {held.state}" + (f": {held.reason}" if held.reason else "")


def _restricted(route: Route, missing: set[str]) -> Route:
    weights = {version: weight for version, weight in route.weights.items() if version not in missing}
    matches = tuple(match for match in route.matches if match.version not in missing)
    return Route(weights, route.sticky, matches)


def _in_effect(
    wanted: WorkerEntry, last: Effective | None, route: Route | None, look: Look, told: tuple[str, bool]
) -> Effective:
    uids, stand_ins = _answering(wanted, last, look)
    needed = stand_ins | {uids[version] for version in (routed(route) if route is not None else ())}
    return Effective(uids, wanted.aliases, route, frozenset(needed), *told)


def _kept(wanted: WorkerEntry, last: Effective, route: Route, look: Look, told: tuple[str, bool]) -> Effective:
    """The last good route, with its own bytes under its own names; beside it what the wanted entry has already."""
    uids, stand_ins = _answering(wanted, last, look)
    own = {version: last.uids[version] for version in routed(route)}
    uids.update(own)
    stand_ins = {uid for uid in stand_ins if uid in uids.values()}
    aliases = {name: version for name, version in last.aliases.items() if version in uids}
    return Effective(uids, {**wanted.aliases, **aliases}, route, frozenset(stand_ins | set(own.values())), *told)


def _answering(wanted: WorkerEntry, last: Effective | None, look: Look) -> tuple[dict[str, str], set[str]]:
    """The uid that answers for each wanted version, and those that stand in for one that is not ready yet."""
    uids, stand_ins = dict(wanted.versions), set()
    for version, uid in wanted.versions.items():
        old = last.uids.get(version, "") if last is not None else ""
        if old and old != uid and not _ready(uid, look) and _ready(old, look):
            uids[version] = old
            stand_ins.add(old)
    return uids, stand_ins


def _ready(uid: str, look: Look) -> bool:
    held = look(uid) if uid else None
    return held is not None and held.state is State.READY
