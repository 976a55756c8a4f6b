"""What a rollout remembers, brought up to date with the stored catalog and the registry: pure.

The catalog is stored before the memory is, and the memory may be lost altogether. So nothing here trusts
the memory where the catalog knows better: which version is routed, which others are loaded. What is loaded,
pinned, not routed and not known may have served or not: it is kept warm, and not believed to have passed a gate.
The registry's tags come last: they may be another claim's, or copied with a version, so they are believed only of what
a lost memory would have known.
"""

from __future__ import annotations

import msgspec

from fairlead_operator import verbs
from fairlead_operator.documents import ModelEntry
from fairlead_operator.state import Candidate, Event, Observed, Refusal, Rollout, Target
from fairlead_operator.strategies import gates
from fairlead_operator.strategies.blue_green import same_artifact

REMEMBERED = 20  # refusals, newest last


class Recalled(msgspec.Struct, frozen=True):
    """`leaving`: versions that nobody needs loaded any more."""

    rollout: Rollout
    leaving: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


def recall(rollout: Rollout, observed: Observed, target: Target | None) -> Recalled:
    """The memory as it fits the stored entry: what is held, and what was on its way and is no more."""
    entry = observed.entry
    if entry is None:
        nothing = msgspec.structs.replace(
            rollout, held={}, doubted=(), stable="", routed="", switched=0, signature=None
        )
        return Recalled(nothing)
    known = {v: since for v, since in rollout.held.items() if v in entry.versions and v != entry.routed}
    doubted = {v: known.pop(v) for v in rollout.doubted if v in known}
    if target is not None:
        doubted.pop(target.version, None)  # its own tag says what it was
    leaving = []
    for version in sorted(set(entry.versions) - {entry.routed} - {*known, *doubted}, key=_age):
        role = _role(version, rollout, entry, target)
        if role == "held":
            known[version] = 0.0
        elif role == "doubted":
            doubted[version] = 0.0
        elif role == "leaving":
            leaving.append(version)
    rollout = msgspec.structs.replace(rollout, held={**doubted, **known}, doubted=tuple(doubted))
    if rollout.routed != entry.routed:
        # Another route than remembered: the write that moved it came through, and what followed did not.
        rollout = msgspec.structs.replace(rollout, routed=entry.routed, switched=observed.generation)
    return Recalled(rollout, tuple(leaving))


def _role(version: str, rollout: Rollout, entry: ModelEntry, target: Target | None) -> str:
    """What an unrouted version is doing in the catalog."""
    # The memory's own route may be older than the catalog's.
    served = version in (rollout.stable, rollout.routed)
    if target is not None and version == target.version:
        # Going back to what served a moment ago, or a candidate.
        pinned = entry.versions[version].digest is not None
        served = served or (_untold(version, rollout, entry) and target.status.startswith(("held", "serving")))
        return "held" if pinned and served and entry.routed else "candidate"
    if not entry.routed:
        return "leaving"
    if served:
        return "held"
    # What is not pinned was never routed.
    never = _was_candidate(version, rollout) or entry.versions[version].digest is None
    return "leaving" if never else "doubted"


def _untold(version: str, rollout: Rollout, entry: ModelEntry) -> bool:
    """Whether the memory is too new or too old to know if the version has served here, so that its tag is believed."""
    return rollout.routed != entry.routed or version in rollout.doubted


def _was_candidate(version: str, rollout: Rollout) -> bool:
    return rollout.candidate is not None and rollout.candidate.version == version and rollout.routed != version


def _age(version: str) -> tuple[int, str]:
    return (int(version), version) if version.isdigit() else (0, version)


def refusals(rollout: Rollout, target: Target | None, entry: ModelEntry | None, now: float) -> Recalled:
    """Notes which refused versions the alias has left, and forgets those to which it came back (once)."""
    if target is None:
        left = tuple(msgspec.structs.replace(refusal, left=True) for refusal in rollout.refusals)
        return Recalled(msgspec.structs.replace(rollout, refusals=left))
    back = [refusal for refusal in rollout.refusals if _names(refusal, target) and refusal.left]
    digests = {refusal.digest for refusal in back if refusal.digest}
    kept = tuple(
        refusal if _names(refusal, target) else msgspec.structs.replace(refusal, left=True)
        for refusal in rollout.refusals
        if refusal not in back and refusal.digest not in digests
    )
    events: tuple[Event, ...] = ()
    if back:
        events = (Event("retry", "the alias moved away and back", target.version, back[-1].digest),)
        rollout = msgspec.structs.replace(rollout, attempts={target.version: int(now)})
    elif _refused_before(rollout, target, entry):
        reason = target.status.partition(":")[2].strip() or "the registry says so"
        digest = target.digest if reason.startswith(verbs.PERSON) else ""
        kept = (*kept, Refusal(target.version, target.source, reason, now, digest))
    return Recalled(msgspec.structs.replace(rollout, refusals=kept[-REMEMBERED:]), events=events)


def _refused_before(rollout: Rollout, target: Target, entry: ModelEntry | None) -> bool:
    """Only the registry still knows of it: this memory is new, and the version is not being tried. (What is tried
    again after a refusal is not pinned before the registry knows; what was rolled back still is.) Where nothing of
    this claim is stored it may be a new one: then another claim's refusal is not its own (see sharing.py)."""
    new = rollout.blank or not rollout.since
    tried = entry is not None and target.version in entry.versions and not verbs.digest(entry, target.version)
    ours = target.names_claim or entry is not None
    return new and not rollout.refusals and ours and not tried and target.status.startswith("refused:")


def refused(rollout: Rollout, target: Target) -> Refusal | None:
    return next((r for r in reversed(rollout.refusals) if _names(r, target) and not r.left), None)


def _names(refusal: Refusal, target: Target) -> bool:
    """Where the source cannot be read for now, it is still the same version."""
    return refusal.version == target.version and (not target.source or same_artifact(refusal.source, target.source))


def progress(rollout: Rollout, target: Target, fleet: gates.Fleet, now: float, note_s: float = 0.0) -> Candidate:
    """The candidate, with how far it has come. The clock stands while no replica answers at all: that says
    nothing of the version. It is moved on every `note_s` then, for each time is a write."""
    old = rollout.candidate
    ranks = gates.ranks(fleet, target.version)
    if old is None or old.version != target.version or not same_artifact(old.source, target.source):
        return Candidate(target.version, target.source, now, now, ranks)
    further = {address: rank for address, rank in ranks.items() if rank > old.ranks.get(address, 0)}
    standing = not fleet.reachable() and now - old.progress_at >= note_s
    if further or standing:
        return msgspec.structs.replace(old, ranks={**old.ranks, **further}, progress_at=now)
    return old


def stuck_s(candidate: Candidate, watching: float, now: float) -> float:
    """Seconds without progress, counted only while this operator was looking; never negative."""
    return max(0.0, now - max(candidate.progress_at, watching))
