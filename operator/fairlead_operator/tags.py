"""What the operator writes back to the registry: the tags of each version it has to do with. Pure.

    fairlead.status   loading | waiting for approval | paused | serving | serving (failed ...) | held
                      | refused: REASON | retired | withdrawn
    fairlead.digest   what was pinned

They are wanted here and written by whoever applies the plan; `written` remembers what was told already. Where several
claims share a version, sharing.py makes one value of what they say.
"""

from __future__ import annotations

import msgspec

from fairlead_operator.documents import ModelEntry
from fairlead_operator.state import Phase, Rollout, VersionTags

ON_ITS_WAY = {Phase.APPROVAL: "waiting for approval", Phase.PAUSED: "paused"}  # else: loading
NEVER_SERVED = ("loading", "waiting", "paused", "refused", "withdrawn")
LONGEST = 1000  # characters of a status: MLflow takes more, its page does not show more


def wanted(
    rollout: Rollout, before: ModelEntry | None, after: ModelEntry | None, refusal: tuple[str, str] | None, trouble: str
) -> dict[str, VersionTags]:
    """By version. `refusal`: (version, reason) of what is asked for and not served; `trouble`: what ails the
    routed version in some replica."""
    texts = {version: _left_out(rollout, version) for version in rollout.tags if not _final(rollout, version)}
    texts |= {version: f"retired (refused: {_reason(rollout, version)})" for version in _left(rollout)}
    for version in before.versions if before else ():
        texts.setdefault(version, "retired")
    for version in after.versions if after else ():
        texts[version] = "held" if version in rollout.held else _on_its_way(rollout, version)
    for version in rollout.doubted:
        if after and version in after.versions:
            del texts[version]  # what the registry has is all that is known of it
    if after and after.routed:
        texts[after.routed] = f"serving ({trouble})" if trouble else "serving"
    if refusal is not None:
        texts[refusal[0]] = f"refused: {refusal[1]}"
    return {version: _tags(rollout, version, text, before, after) for version, text in texts.items()}


def _tags(
    rollout: Rollout, version: str, text: str, before: ModelEntry | None, after: ModelEntry | None
) -> VersionTags:
    known = (tags[version].digest for tags in (rollout.tags, rollout.written) if version in tags)
    digest = next(filter(None, known), "")
    for entry in (before, after):
        if entry and version in entry.versions:
            digest = entry.versions[version].digest or digest
    return VersionTags(_short(text), digest)


def _on_its_way(rollout: Rollout, version: str) -> str:
    asked = rollout.target is not None and rollout.target.version == version
    return ON_ITS_WAY.get(rollout.phase, "loading") if asked else "loading"


def _left_out(rollout: Rollout, version: str) -> str:
    """What is not loaded any more: what never had the traffic is no version to go back to."""
    return "withdrawn" if rollout.tags[version].status.startswith(NEVER_SERVED) else "retired"


def _final(rollout: Rollout, version: str) -> bool:
    """Not loaded any more, and the registry knows: nothing more is to be said of it."""
    tags = rollout.tags[version]
    return tags.status.startswith(("retired", "withdrawn")) and rollout.written.get(version) == tags


def _left(rollout: Rollout) -> list[str]:
    """Refused versions that the alias has left, as far as the registry does not say so yet."""
    left = [refusal.version for refusal in rollout.refusals if refusal.left]
    return [version for version in left if version in rollout.tags and not _final(rollout, version)]


def _reason(rollout: Rollout, version: str) -> str:
    return next(r.reason for r in reversed(rollout.refusals) if r.version == version)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def noted(rollout: Rollout, version: str, tag: str, value: str) -> Rollout:
    """The rollout once the registry has been told this."""
    old = rollout.written.get(version, VersionTags())
    new = msgspec.structs.replace(old, **{tag: value})
    return msgspec.structs.replace(rollout, written={**rollout.written, version: new})
