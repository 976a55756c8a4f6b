"""What ails a rollout although nothing is to be decided: conditions, as sentences. Pure."""

from __future__ import annotations

from fairlead_operator.documents import ModelEntry
from fairlead_operator.strategies import gates


def trouble(fleet: gates.Fleet, entry: ModelEntry | None) -> str:
    """What ails the routed version: a replica in which it failed."""
    for address, seen in fleet.reachable().items() if entry and entry.routed else ():
        status = fleet.version(seen, entry.routed) if entry else None
        if status and status.state == "failed":
            return f"failed in replica {address}: {status.reason}"
    return ""


def conditions(fleet: gates.Fleet, entry: ModelEntry | None, ailing: str) -> dict[str, str]:
    found = {}
    if ailing:
        found["Degraded"] = ailing
    if fleet.absent():
        found["ReplicasMissing"] = ", ".join(fleet.absent()[: gates.SHOWN])
    for seen in fleet.reachable().values():
        model = seen.models.get(fleet.served)
        if model and model.reason:
            found["Pending"] = model.reason
        status = fleet.version(seen, entry.routed) if entry and entry.routed else None
        if status and status.profile and not status.profile.smoke.passed:
            found["Unprofiled"] = status.profile.smoke.detail or "no smoke prediction was made"
    return found
