"""What a person tells a rollout by annotations: approve, promote, abort, rollback, pause. Pure.

    fairlead.dev/approve: sha256:...    each names the digest of a version, and counts once

An annotation stays where GitOps put it, so what was done about it is remembered (`Rollout.spent`) until it is taken
away or names another digest. Where that memory was lost, the stored catalog decides: what could move traffic to a
new version, or away from one that serves, has to be asked for again. `pause` is no act but a state: it holds as long
as it stands there.
"""

from __future__ import annotations

import msgspec

from fairlead_operator.documents import ModelEntry
from fairlead_operator.resource import PREFIX
from fairlead_operator.spec import Served
from fairlead_operator.state import ROLLED_BACK, Phase, Refusal, Rollout, Spent, Target

PERSON = "a person "  # how a refusal by a person begins, here and in the registry
DONE = {"abort": PERSON + "aborted it", "rollback": ROLLED_BACK}
WAITING = (Phase.APPROVAL, Phase.PAUSED)  # for a person
UNHEEDED = "VerbUnheeded"  # the condition


def remembered(rollout: Rollout, spec: Served, entry: ModelEntry | None) -> Rollout:
    """The memory with what is spent of the annotations that stand there now."""
    spent = {verb: old for verb, old in rollout.spent.items() if spec.verbs.get(verb) == old.digest}
    if not rollout.since and entry is not None and entry.routed:  # it was lost: that something is routed is older
        routed = digest(entry, entry.routed)
        said = "it was set before the operator's memory began: take it away and set it again if it is still meant"
        for verb, named in spec.verbs.items():
            if verb in ("approve", "promote") or (verb == "rollback" and named == routed):
                spent[verb] = Spent(named, said)
    return rollout if spent == rollout.spent else msgspec.structs.replace(rollout, spent=spent)


def asks(rollout: Rollout, spec: Served, verb: str, named: str) -> bool:
    """Whether the verb stands there for this digest, and has not counted yet."""
    return bool(named) and spec.verbs.get(verb) == named and verb not in rollout.spent


def refuses(rollout: Rollout, spec: Served, named: str) -> str:
    """Why a person refuses the candidate with this digest; "" while nobody does. A rollback of what is not routed
    (any more) means the same: its other half was done, and the operator died before it was noted."""
    verb = next((verb for verb in DONE if asks(rollout, spec, verb, named)), "")
    return f"{DONE[verb]} (annotation {PREFIX}{verb})" if verb else ""


def waits(rollout: Rollout, spec: Served, named: str, returning: bool) -> tuple[Phase, str] | None:
    """What a proven candidate with this digest waits for, if for a person. `returning`: to a version that is kept
    warm, which was approved when it came."""
    if asks(rollout, spec, "promote", named):
        return None
    if spec.verbs.get("pause") == named:
        return Phase.PAUSED, f"it is ready, and paused by the annotation {PREFIX}pause"
    if spec.require_approval and not returning and not asks(rollout, spec, "approve", named):
        return (
            Phase.APPROVAL,
            f"it is ready and passed every gate: approve it by the annotation {PREFIX}approve={named}",
        )
    return None


def settled(rollout: Rollout, spec: Served, entry: ModelEntry | None, target: Target | None) -> Rollout:
    """The memory after a plan that wants `entry`: what has come about is spent, and so is what came too late."""
    if not spec.verbs:
        return rollout
    spent = dict(rollout.spent)
    for verb, named in spec.verbs.items():
        ahead = target is not None and entry is not None and target.version != entry.routed
        on_its_way = digest(entry, target.version) if ahead and target else ""
        said = None if verb in spent or verb == "pause" else _outcome(verb, named, rollout, entry, on_its_way)
        if said is not None:
            spent[verb] = Spent(named, said)
    return rollout if spent == rollout.spent else msgspec.structs.replace(rollout, spent=spent)


def _outcome(verb: str, named: str, rollout: Rollout, entry: ModelEntry | None, on_its_way: str) -> str | None:
    """ "" where the verb has come about, a sentence where it cannot any more; None while it waits."""
    refused = any(refusal.digest == named for refusal in rollout.refusals)
    if verb in DONE and refused:
        return ""
    stopped = next((refusal.version for refusal in rollout.refusals if _by_person(refusal, named)), "")
    if verb in ("approve", "promote") and stopped:
        return f"a person refused version {stopped}: move the alias away and back, and then set it again"
    if named == on_its_way:
        return None
    version = _version(entry, named)
    routed = entry.routed if entry else ""
    if version and version == routed:
        if verb in ("approve", "promote"):
            return ""
        return _too_late(verb, version, rollout)
    if version in rollout.held and verb != "rollback":
        return f"version {version} is kept warm and not on its way: move the alias to it to go back"
    return None


def _by_person(refusal: Refusal, named: str) -> bool:
    """Whether a person refused these files, and the alias still names them: what is said later is for the retry."""
    return refusal.digest == named and refusal.reason.startswith(PERSON) and not refusal.left


def _too_late(verb: str, version: str, rollout: Rollout) -> str | None:
    if verb == "abort":
        return f"version {version} has the traffic already: {PREFIX}rollback goes back"
    if way_back(rollout):
        return None
    return "no old version is kept warm that is known to have served: move the alias to the one that should serve"


def way_back(rollout: Rollout) -> str:
    """The version that a rollback goes to: the last that served; "" where there is none."""
    return next((version for version in reversed(rollout.held) if version not in rollout.doubted), "")


def unheeded(rollout: Rollout, spec: Served, entry: ModelEntry | None, target: Target | None) -> str:
    """The sentences about annotations that do nothing; "" where each is understood."""
    found = []
    for verb, named in spec.verbs.items():
        said = rollout.spent[verb].said if verb in rollout.spent else _unknown(verb, named, entry, target)
        if said:
            found.append(f"{PREFIX}{verb}: {said}")
    return "; ".join(found)


def _unknown(verb: str, named: str, entry: ModelEntry | None, target: Target | None) -> str:
    version = _version(entry, named)
    if verb == "pause" and entry and version and version == entry.routed:
        return f"version {version} has the traffic already"
    if version or (target and target.digest == named):
        return ""
    return f"{named} is no version that is loaded now"


def _version(entry: ModelEntry | None, named: str) -> str:
    return next((v for v, wanted in entry.versions.items() if wanted.digest == named), "") if entry else ""


def digest(entry: ModelEntry | None, version: str) -> str:
    """What a version of the entry is pinned to; "" while it is not."""
    wanted = entry.versions.get(version) if entry else None
    return (wanted.digest if wanted else None) or ""
