"""The `.status` of a ServedModel, made of what is known after a step. Pure: time and the status before are arguments.

    Outlook (rollout, stored entry, replicas) + how the registry is doing -> resource.Status

Nothing in it moves by itself: the same Outlook gives the same status, so that a rollout at rest is not written again.
`lastTransitionTime` is all that comes from the status before; lost, it begins anew. This module must not know the
cluster.
"""

from __future__ import annotations

import datetime

import msgspec

from fairlead_operator import verbs
from fairlead_operator.documents import ModelEntry
from fairlead_operator.promotion import FROZEN
from fairlead_operator.report import RegistrySight
from fairlead_operator.resource import Condition, Pinned, Replicas, Status, Verdict
from fairlead_operator.state import Outlook, Phase, Rollout

LONGEST = 2000  # characters of a sentence
REMEMBERED = 300  # characters of a reason in the memory
OUTAGE_S = 30.0  # a registry that is away for less is not told in every status
SIGNATURE_BYTES = 4096  # a larger one is not remembered: the replicas that serve it tell it
SERVES = (Phase.SERVING, Phase.HOLDING)
ON_ITS_WAY = (Phase.LOADING, Phase.APPROVAL, Phase.PAUSED, Phase.SWITCHING)
# Conditions of a rollout with which what was asked for is not what serves, or not as it should.
AILING = (
    "SpecInvalid", "ModelGone", "AliasGone", "VersionGone", "ModelDenied", "SourceChanged", "CatalogTooLarge",
    "CatalogNotStored", "TooNew", "Degraded",
)  # fmt: skip
PROGRESS = {
    Phase.LOADING: "Loading",
    Phase.APPROVAL: "AwaitingApproval",
    Phase.PAUSED: "Paused",
    Phase.SWITCHING: "Switching",
    Phase.RETIRED: "Unloading",
}


def steady(sight: RegistrySight, now: float) -> RegistrySight:
    """How the registry is doing, as thousands of statuses tell it: a short outage is not worth writing them. `seen`
    None and no error: that is not known yet."""
    if not sight.error or now - sight.since < OUTAGE_S:
        return RegistrySight(None if sight.seen is None else 0.0, 0.0, "")
    return RegistrySight(None if sight.seen is None else 0.0, sight.since, sight.error)


def status(outlook: Outlook, sight: RegistrySight, generation: int, now: float, old: Status | None) -> Status:
    """`sight` as `steady` has it; `generation` is that of the object which the outlook's claim was read from; `now` in
    Unix seconds."""
    rollout, entry = outlook.rollout, outlook.entry
    pool = rollout.spec.pool if rollout.spec else (old.pool if old else "")
    told = (
        rollout.reason if not outlook.fault or rollout.reason == outlook.fault else f"{outlook.fault}; {rollout.reason}"
    )
    return Status(
        observed_generation=generation,
        phase=rollout.phase.value,
        reason=_short(told),
        served_name=rollout.served if rollout.spec or not outlook.fault else (old.served_name if old else ""),
        pool=pool,
        stable=_pinned(rollout, entry, rollout.stable),
        candidate=_pinned(rollout, entry, candidate(rollout, entry)),
        weights=weights(entry),
        step=step(rollout, entry),
        replicas=Replicas(outlook.ready, outlook.replicas),
        conditions=_conditions(outlook, sight, generation, now, old),
        last_verdict=_verdict(rollout, entry),
        memory=memory(rollout) if rollout.phase is not Phase.CONFLICT and rollout.spec else {},
    )


# --- versions


def candidate(rollout: Rollout, entry: ModelEntry | None) -> str:
    """The version on its way to the traffic: loaded beside another one, or routed and not confirmed; "" for none."""
    if rollout.phase is Phase.SWITCHING:
        return rollout.routed if rollout.routed != rollout.stable else ""
    if rollout.phase not in ON_ITS_WAY or rollout.target is None:
        return ""
    version = rollout.target.version
    return version if entry is None or entry.routed != version else ""


def weights(entry: ModelEntry | None) -> dict[str, float]:
    """Percent by version; empty while nothing is routed."""
    given = entry.route.weights if entry else {}
    total = sum(given.values())
    return {version: round(100 * weight / total, 2) for version, weight in given.items()} if total else {}


def step(rollout: Rollout, entry: ModelEntry | None) -> str:
    """Where the strategy stands, in words; "" while it rests."""
    version = candidate(rollout, entry)
    if rollout.phase is Phase.LOADING:
        return "proving it in every replica" if verbs.digest(entry, version) else "fetching, until every replica agrees"
    return {
        Phase.APPROVAL: "waiting for approval",
        Phase.PAUSED: "paused",
        Phase.SWITCHING: "switching, until every replica confirms",
        Phase.HOLDING: "keeping the old version warm",
        Phase.RETIRED: "unloading",
    }.get(rollout.phase, "")


def _pinned(rollout: Rollout, entry: ModelEntry | None, version: str) -> Pinned | None:
    if not version:
        return None
    known = rollout.tags.get(version)
    return Pinned(version, verbs.digest(entry, version) or (known.digest if known else ""))


def _verdict(rollout: Rollout, entry: ModelEntry | None) -> Verdict | None:
    """What became of the last candidate."""
    refusal = rollout.refusals[-1] if rollout.refusals else None
    if rollout.phase is Phase.REFUSED and rollout.target is not None:
        asked = [old for old in rollout.refusals if old.version == rollout.target.version]
        if not asked:  # it was not even tried
            return Verdict(
                "Fail", rollout.target.version, _short(rollout.target.problem or rollout.reason), _time(rollout.since)
            )
        refusal = asked[-1]
    if refusal is not None and (rollout.phase is Phase.REFUSED or refusal.at > rollout.promoted):
        return Verdict("Fail", refusal.version, _short(refusal.reason), _time(refusal.at), refusal.digest)
    stable = _pinned(rollout, entry, rollout.stable)
    if stable is None or not rollout.promoted:
        return None
    reason = "it passed every gate, and every replica sends its traffic to it"
    return Verdict("Pass", stable.version, reason, _time(rollout.promoted), stable.digest)


# --- conditions


def _conditions(
    outlook: Outlook, sight: RegistrySight, generation: int, now: float, old: Status | None
) -> tuple[Condition, ...]:
    """The five that are always there, then those that come and go, by name."""
    rollout = outlook.rollout
    ailing = {**rollout.conditions, **({"SpecInvalid": outlook.fault} if outlook.fault else {})}
    found = [_ready(outlook, ailing), _progressing(rollout), _degraded(rollout, ailing)]
    found += [_reachable(sight, old), _conflict(outlook)]
    found += [(kind, "True", kind, why) for kind, why in sorted(ailing.items()) if kind != "Degraded"]
    before = {condition.type: condition for condition in old.conditions} if old else {}
    return tuple(_condition(*one, generation, now, before.get(one[0])) for one in found)


Told = tuple[str, str, str, str]  # type, status, reason, message


def _ready(outlook: Outlook, ailing: dict[str, str]) -> Told:
    rollout = outlook.rollout
    wrong = next((kind for kind in (*AILING[:-1], "RegistryUnheard") if kind in ailing), "")
    if wrong:
        return "Ready", "False", wrong, ailing[wrong]
    if rollout.phase not in SERVES:
        return "Ready", "False", PROGRESS.get(rollout.phase, rollout.phase.value), rollout.reason
    if not outlook.ready:
        return "Ready", "False", "NoReplica", f"no replica of {outlook.replicas} has version {rollout.routed} ready"
    return "Ready", "True", rollout.phase.value, f"{rollout.reason}; in {outlook.ready} of {outlook.replicas} replicas"


def _progressing(rollout: Rollout) -> Told:
    if FROZEN in rollout.conditions and rollout.phase in ON_ITS_WAY:
        return "Progressing", "True", FROZEN, rollout.reason
    if rollout.phase in PROGRESS:
        return "Progressing", "True", PROGRESS[rollout.phase], rollout.reason
    return "Progressing", "False", rollout.phase.value, "no version is on its way"


def _degraded(rollout: Rollout, ailing: dict[str, str]) -> Told:
    if rollout.phase is Phase.REFUSED and "SpecInvalid" not in ailing:
        return "Degraded", "True", "Refused", rollout.reason
    kind = next((kind for kind in AILING if kind in ailing), "")
    if kind:
        return "Degraded", "True", "ReplicaFailed" if kind == "Degraded" else kind, ailing[kind]
    return "Degraded", "False", "AsExpected", "nothing ails it"


def _reachable(sight: RegistrySight, old: Status | None) -> Told:
    before = next((one for one in old.conditions if one.type == "RegistryReachable"), None) if old else None
    if sight.error:
        since = f"; no complete answer since {_time(sight.since)}"
        same = before is not None and before.message.endswith(since)  # of one outage the first error is told
        return "RegistryReachable", "False", "NoAnswer", before.message if before and same else sight.error + since
    if sight.seen is not None:
        return "RegistryReachable", "True", "Answers", "the registry answers"
    if before is not None:  # an operator that has just started knows no better than the one before
        return before.type, before.status, before.reason, before.message
    return "RegistryReachable", "Unknown", "NotSeenYet", "it has not answered yet"


def _conflict(outlook: Outlook) -> Told:
    if outlook.rollout.phase is Phase.CONFLICT:
        return "Conflict", "True", "NameTaken", outlook.rollout.reason
    if outlook.fault:
        return "Conflict", "True", "SpecInvalid", outlook.fault
    return "Conflict", "False", "NoConflict", "the name and the fields are its own"


def _condition(
    kind: str, value: str, reason: str, message: str, generation: int, now: float, old: Condition | None
) -> Condition:
    """Its time moves only with its status."""
    since = old.last_transition_time if old is not None and old.status == value else _time(now)
    return Condition(kind, value, reason, _short(message), since, generation)


# --- the memory


def memory(rollout: Rollout) -> dict[str, object]:
    """The rollout as plain JSON that `msgspec.convert(..., Rollout)` reads, without what the next step finds out
    anyway: its sentences, and a signature too large to keep in every status."""
    large = rollout.signature is not None and len(msgspec.json.encode(rollout.signature)) > SIGNATURE_BYTES
    kept = msgspec.structs.replace(
        rollout,
        reason="",
        conditions={},
        signature=None if large else rollout.signature,
        refusals=tuple(msgspec.structs.replace(one, reason=one.reason[:REMEMBERED]) for one in rollout.refusals),
    )
    plain: dict[str, object] = msgspec.to_builtins(kept)
    return plain


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _time(seconds: float) -> str:
    """As metav1.Time."""
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
