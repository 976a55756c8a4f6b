"""The gates before a version gets its first request: digests, readiness, smoke prediction, signature.

Each takes what the replicas say and answers with a Verdict: pass, wait for something, or refuse for
something. Pure; an address that did not answer never passes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead_operator.documents import ReplicaStatus, Signature, TensorSpec, VersionStatus
from fairlead_operator.state import Seen

# How far a version has come in a replica. `failed` is no rank: a retry starts again from the bottom.
RANKS = {"wanted": 1, "fetching": 2, "trying": 3, "loading": 4, "warming": 5, "ready": 6}
SHOWN = 3  # so many replicas are named in one reason


class Verdict(msgspec.Struct, frozen=True):
    """One of `wait` and `refuse` is a sentence, or both are empty: passed. `value` is a digest: the one that
    passed, or the one that must never pass."""

    wait: str = ""
    refuse: str = ""
    value: str = ""

    @property
    def passed(self) -> bool:
        return not self.wait and not self.refuse


class Fleet(msgspec.Struct, frozen=True):
    """One served model in all replicas, at one stored generation."""

    served: str
    generation: int
    replicas: Mapping[str, Seen]

    def answering(self) -> dict[str, ReplicaStatus]:
        """Replicas that are up to date with the stored catalog: what others say is about an older one."""
        return {
            address: seen
            for address, seen in self.replicas.items()
            if not isinstance(seen, str) and seen.generation >= self.generation
        }

    def reachable(self) -> dict[str, ReplicaStatus]:
        return {address: seen for address, seen in self.replicas.items() if not isinstance(seen, str)}

    def absent(self) -> list[str]:
        """Why each of the other addresses does not count, in a sentence."""
        reasons = []
        for address, seen in self.replicas.items():
            if isinstance(seen, str):
                reasons.append(f"{address} ({seen})")
            elif seen.generation < self.generation:
                reasons.append(f"{address} (has catalog generation {seen.generation}, wanted {self.generation})")
        return reasons

    def version(self, seen: ReplicaStatus, version: str) -> VersionStatus | None:
        model = seen.models.get(self.served)
        return model.versions.get(version) if model else None


def ranks(fleet: Fleet, version: str) -> dict[str, int]:
    """How far each answering replica has come with the version."""
    found = {}
    for address, seen in fleet.answering().items():
        status = fleet.version(seen, version)
        found[address] = RANKS.get(status.state, 0) if status else 0
    return found


def failures(fleet: Fleet, version: str) -> Verdict:
    """Refuses what has finally failed in any replica."""
    for address, seen in fleet.answering().items():
        status = fleet.version(seen, version)
        if status and status.state == "failed" and status.final:
            reason = " ".join((status.reason or "it failed to load").split())
            return Verdict(refuse=f"{reason} (replica {address})", value=status.digest)
    return Verdict()


def digests(fleet: Fleet, version: str) -> Verdict:
    """Passes with the one digest that all replicas report; two of them refuse the version at once."""
    reported = {}
    for address, seen in fleet.answering().items():
        status = fleet.version(seen, version)
        if status and status.digest:
            reported[address] = status.digest
    if len(set(reported.values())) > 1:
        told = ", ".join(f"{address} has {digest}" for address, digest in sorted(reported.items()))
        return Verdict(refuse=f"replicas fetched different files under the same version: {told}")
    missing = [place for place in _places(fleet, version) if place.partition(" ")[0] not in reported]
    if missing or not reported:
        return Verdict(wait=f"waiting for its digest from {_few(missing)}")
    return Verdict(value=next(iter(reported.values())))


def ready(fleet: Fleet, version: str, digest: str, *, lenient: bool = False) -> Verdict:
    """Passes when every replica has exactly these bytes warm. `lenient` leaves out addresses that do not
    answer (going back to a version that served a moment ago must not wait for a dead replica)."""
    waiting = [] if lenient else fleet.absent()
    answering = fleet.reachable() if lenient else fleet.answering()
    for address, seen in answering.items():
        status = fleet.version(seen, version)
        if status and status.digest and status.digest != digest:
            return Verdict(refuse=f"its files changed after they were pinned: {address} fetched {status.digest}")
        if status is None or status.state != "ready" or status.digest != digest:
            waiting.append(_place(address, seen, fleet, status))
    if waiting or not answering:
        return Verdict(wait=f"waiting for it to be ready in {_few(waiting)}")
    return Verdict()


def smoke(fleet: Fleet, version: str) -> Verdict:
    """Refuses a failed prediction of the logged example. Made-up inputs may fail: unprofiled, not condemned."""
    for address, seen in fleet.answering().items():
        status = fleet.version(seen, version)
        result = status.profile.smoke if status and status.profile else None
        if result and result.source == "example" and not result.passed:
            reason = f"its prediction with the logged input example failed: {result.detail} (replica {address})"
            return Verdict(refuse=reason, value=status.digest if status else "")
    return Verdict()


def signature_of(fleet: Fleet, version: str) -> Signature | None:
    for seen in fleet.reachable().values():
        status = fleet.version(seen, version)
        if status and status.signature:
            return status.signature
    return None


def accepts(old: Signature, new: Signature) -> Verdict:
    """Whether who called `old` may call `new`: every input of the old is taken, no new one is needed, and
    every output is still there with its datatype."""
    takes = {spec.name: spec for spec in new.inputs}
    gives = {spec.name: spec for spec in new.outputs}
    known = {spec.name for spec in old.inputs}
    faults = [fault for spec in old.inputs if (fault := _input_fault(spec, takes.get(spec.name)))]
    faults += [f"it needs a new input {s.name!r}" for s in new.inputs if s.name not in known and not s.optional]
    faults += [fault for spec in old.outputs if (fault := _output_fault(spec, gives.get(spec.name)))]
    if not faults:
        return Verdict()
    return Verdict(
        refuse=f"its signature does not accept what the old version's did: {'; '.join(faults)}. "
        "If that is intended, set the version's tag fairlead.allow_signature_change=true and move the alias again"
    )


def _input_fault(old: TensorSpec, new: TensorSpec | None) -> str:
    if new is None:
        return f"input {old.name!r} is gone"
    if new.datatype != old.datatype:
        return f"input {old.name!r} was {old.datatype} and is {new.datatype}"
    if old.optional and not new.optional:
        return f"input {old.name!r} was optional and is needed"
    fits = len(new.shape) == len(old.shape) and all(n in (-1, o) for o, n in zip(old.shape, new.shape, strict=True))
    return "" if fits else f"input {old.name!r} had shape {list(old.shape)} and has {list(new.shape)}"


def _output_fault(old: TensorSpec, new: TensorSpec | None) -> str:
    if new is None:
        return f"output {old.name!r} is gone"
    if new.datatype != old.datatype:
        return f"output {old.name!r} was {old.datatype} and is {new.datatype}"
    return ""


def _places(fleet: Fleet, version: str) -> list[str]:
    """Every address, with what it says of the version."""
    return fleet.absent() + [
        _place(address, seen, fleet, fleet.version(seen, version)) for address, seen in fleet.answering().items()
    ]


def _place(address: str, seen: ReplicaStatus, fleet: Fleet, status: VersionStatus | None) -> str:
    if status is None:
        model = seen.models.get(fleet.served)
        return f"{address} ({model.reason if model and model.reason else 'does not know it yet'})"
    return f"{address} ({status.state}{': ' + status.reason if status.reason else ''})"


def _few(places: list[str]) -> str:
    if not places:
        return "any replica: none is known"
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return ", ".join(places[:SHOWN]) + more
