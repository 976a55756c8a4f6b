"""Blue/green: the new version is loaded beside the old one, proven everywhere, and then takes all the traffic.

    add (unpinned) -> one digest everywhere -> pin -> ready, smoke, signature -> switch -> confirmed -> held -> left out

One call takes one step at most: what the stored catalog's entry should be next, or what is waited for.
Pure; the plan around it keeps the memory (times, refusals, tags).
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_operator.documents import ModelEntry, Route, Signature, VersionEntry
from fairlead_operator.state import ROLLED_BACK, Event, Phase, Target
from fairlead_operator.strategies import gates
from fairlead_operator.strategies.gates import Fleet


class Case(msgspec.Struct, frozen=True):
    """What one step is decided from. `held`: the target served a moment ago and was kept warm. `old` is the
    signature that callers rely on; `stuck_s` how long nothing has moved; `refused_digests` maps remembered
    digests to their reasons. `person`: the phase and the sentence of a proven version that waits for a person."""

    entry: ModelEntry | None
    target: Target
    fleet: Fleet
    settings: dict[str, Any]
    held: bool = False
    old: Signature | None = None
    allow_signature_change: bool = False
    stuck_s: float = 0.0
    limit_s: float = 600.0
    refused_digests: dict[str, str] = {}
    attempt: int = 0
    person: tuple[Phase, str] | None = None


class Step(msgspec.Struct, frozen=True):
    """The next entry (unchanged while waiting), and why. `refused`: the target must not be served, for `reason`."""

    entry: ModelEntry | None
    phase: Phase
    reason: str
    event: Event | None = None
    refused: bool = False
    digest: str = ""  # the files that are at fault, where it is they and not the moment


def step(case: Case) -> Step:
    """The next step towards a target that is not routed yet."""
    wanted = case.entry.versions.get(case.target.version) if case.entry else None
    if wanted is None or not same_artifact(wanted.source, case.target.source):
        return _add(case)
    if not case.held and wanted.settings != case.settings:
        return _add(case)
    assert case.entry is not None
    failed = gates.failures(case.fleet, case.target.version)
    if failed.refuse:
        return _refuse(case, failed.refuse, wanted.digest or failed.value)
    return _pin(case, case.entry, wanted) if wanted.digest is None else _prove(case, case.entry, wanted.digest)


def _add(case: Case) -> Step:
    """Beside the old version, with no traffic. A version that served before is pinned to what it was then; the tags
    of a copied version may name a digest that was refused, which must be found out as any other is."""
    target = case.target
    refused = target.status.startswith(("refused", "retired (refused")) and ROLLED_BACK not in target.status
    served_before = target.digest and not refused and target.digest not in case.refused_digests
    new = VersionEntry(target.source, target.digest if served_before else None, case.settings, case.attempt)
    versions = {**(case.entry.versions if case.entry else {}), target.version: new}
    route = case.entry.route if case.entry and case.entry.routed else Route({target.version: 0.0})
    reason = f"version {target.version} was promoted: the replicas load it beside the old one"
    return Step(
        msgspec.structs.replace(case.entry or ModelEntry({}, route), versions=versions, route=route),
        Phase.LOADING,
        reason,
        Event("candidate", reason, target.version, new.digest or ""),
    )


def _pin(case: Case, entry: ModelEntry, wanted: VersionEntry) -> Step:
    verdict = gates.digests(case.fleet, case.target.version)
    if verdict.refuse:
        return _refuse(case, verdict.refuse)
    if verdict.wait:
        return _wait(case, verdict.wait)
    if verdict.value in case.refused_digests:
        return _refuse(
            case, f"the same files were refused before: {case.refused_digests[verdict.value]}", verdict.value
        )
    pinned = msgspec.structs.replace(wanted, digest=verdict.value)
    reason = f"all replicas fetched version {case.target.version} with one digest: pinned, waiting for it to be ready"
    return Step(
        msgspec.structs.replace(entry, versions={**entry.versions, case.target.version: pinned}),
        Phase.LOADING,
        reason,
        Event("pinned", reason, case.target.version, verdict.value),
    )


def _prove(case: Case, entry: ModelEntry, digest: str) -> Step:
    verdict = gates.ready(case.fleet, case.target.version, digest, lenient=case.held)
    if verdict.passed:
        verdict = gates.smoke(case.fleet, case.target.version)
    if verdict.passed and not case.held and not case.allow_signature_change:
        verdict = _signature(case)
    if verdict.refuse:
        return _refuse(case, verdict.refuse, verdict.value)
    if verdict.wait:
        return _wait(case, verdict.wait)
    if case.person is not None:
        phase, why = case.person
        return Step(entry, phase, f"version {case.target.version}: {why}")
    return _switch(case, entry, digest)


def _signature(case: Case) -> gates.Verdict:
    new = gates.signature_of(case.fleet, case.target.version)
    if case.old is None or new is None:
        return gates.Verdict()  # nothing that callers rely on is known
    return gates.accepts(case.old, new)


def _switch(case: Case, entry: ModelEntry, digest: str) -> Step:
    version = case.target.version
    why = "it was kept warm" if case.held else "it is ready in all replicas and passed every gate"
    reason = f"the route moved to version {version}: {why}; waiting for every replica to confirm"
    route = msgspec.structs.replace(entry.route, weights={version: 1.0})
    return Step(
        msgspec.structs.replace(entry, route=route), Phase.SWITCHING, reason, Event("switched", reason, version, digest)
    )


def _wait(case: Case, why: str) -> Step:
    if case.stuck_s >= case.limit_s:
        return _refuse(case, f"no progress for {case.limit_s:g} s: {why}")
    return Step(case.entry, Phase.LOADING, f"version {case.target.version}: {why}")


def _refuse(case: Case, why: str, digest: str = "") -> Step:
    """Leaves the target out; the old version, where there is one, is not touched."""
    version = case.target.version
    return Step(
        without(case.entry, version),
        Phase.REFUSED,
        why,
        Event("refused", why, version, digest),
        refused=True,
        digest=digest,
    )


def unconfirmed(fleet: Fleet, version: str, switched: int, *, lenient: bool = False) -> str:
    """What is waited for until every replica has the route of generation `switched` to `version` in effect; "" then.
    `lenient` leaves out addresses that do not answer."""
    if not fleet.replicas:
        return "waiting for any replica to confirm the route: none is known"
    waiting = [] if lenient else fleet.absent()
    for address, seen in (fleet.reachable() if lenient else fleet.answering()).items():
        model = seen.models.get(fleet.served)
        if model is None or model.applied < switched or not _only(version, model.route):
            waiting.append(f"{address} ({model.reason if model and model.reason else 'has not applied it yet'})")
    if not waiting:
        return ""
    return f"waiting for {', '.join(waiting[: gates.SHOWN])} to confirm the route"


def _only(version: str, weights: dict[str, float]) -> bool:
    """Whether the effective route, where it is told, sends everything there."""
    return all(name == version for name, weight in weights.items() if weight > 0)


def without(entry: ModelEntry | None, *versions: str) -> ModelEntry | None:
    """The entry without these versions; None when none is left. A routed version is never taken out."""
    if entry is None:
        return None
    kept = {v: e for v, e in entry.versions.items() if v not in versions or v == entry.routed}
    if not kept:
        return None
    weights = {v: weight for v, weight in entry.route.weights.items() if v in kept}
    aliases = {alias: v for alias, v in entry.aliases.items() if v in kept}
    route = msgspec.structs.replace(entry.route, weights=weights or dict.fromkeys(kept, 0.0))
    return msgspec.structs.replace(entry, versions=kept, route=route, aliases=aliases)


def same_artifact(one: str, other: str) -> bool:
    """Whether two sources are one place: the registry's address may change, the path below it does not."""
    return _path(one) == _path(other)


def _path(source: str) -> str:
    scheme, colon, rest = source.partition("://")
    if not colon or not scheme.startswith(("mlflow-artifacts", "http")):
        return source
    return "/" + rest.partition("/")[2]
