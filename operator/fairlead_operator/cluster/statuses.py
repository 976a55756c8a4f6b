"""What each ServedModel is told: its status, and an event for every step. Only what differs is made anew.

A status is a function of what is known (status.py); here it is only asked for, and handed to the writer.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from fairlead_operator import log, status
from fairlead_operator.cluster.events import Note, Recorder
from fairlead_operator.cluster.objects import Known, Objects, refusal, served_name
from fairlead_operator.cluster.pool import Pool
from fairlead_operator.cluster.writer import StatusWriter
from fairlead_operator.config import Config
from fairlead_operator.report import RegistrySight
from fairlead_operator.resource import Status
from fairlead_operator.state import Event, Outlook, Phase, Rollout

WARNINGS = frozenset({"refused", "withdrawn", "unloaded", "rolled back"})


class _Made(msgspec.Struct, frozen=True):
    """A status, and what it was made of."""

    uid: str
    generation: int
    outlook: Outlook
    sight: RegistrySight
    told: dict[str, Any]

    def holds(self, one: Known, outlook: Outlook, sight: RegistrySight) -> bool:
        """Whether the same would come of it again."""
        same = self.outlook is outlook or self.outlook == outlook
        return same and (self.uid, self.generation, self.sight) == (one.uid, one.generation, sight)


class Statuses:
    """Of all pools. `phases` counts them."""

    def __init__(self, config: Config, objects: Objects, writer: StatusWriter, recorder: Recorder) -> None:
        self._config = config
        self._objects = objects
        self._writer = writer
        self._recorder = recorder
        self._made: dict[str, _Made] = {}
        self._failed: dict[str, str] = {}  # why none could be made
        self._pooled: dict[str, Collection[str]] = {}  # the objects that each pool knows

    def phases(self) -> dict[str, float]:
        counted = collections.Counter(made.outlook.rollout.phase.value for made in self._made.values())
        return {phase.value: float(counted[phase.value]) for phase in Phase}

    def publish(self, pool: Pool, sight: RegistrySight, now: float) -> None:
        """After a step of this pool."""
        sight = status.steady(sight, now)
        events = pool.happened()
        outlooks = pool.outlooks(now)
        self._pooled[pool.name] = outlooks.keys()
        for ref, outlook in outlooks.items():
            one = self._objects.known.get(ref)
            if one is not None and not refusal(one, self._config):
                self._tell(one, outlook, sight, now)
        refs = {
            found.rollout.served: ref for ref, found in outlooks.items() if found.rollout.phase is not Phase.CONFLICT
        }
        self._note(events, refs)

    def publish_others(self, sight: RegistrySight, now: float) -> None:
        """Objects that no pool may serve or knows, and a tidy-up of those that are gone."""
        sight = status.steady(sight, now)
        all_told = self._pooled.keys() == self._config.pools.keys()  # else one of them may know it yet
        for one in self._objects.known.values():
            why = refusal(one, self._config)
            if why or (one.claim is None and all_told and not any(one.ref in refs for refs in self._pooled.values())):
                self._tell(one, self._blank(one, why or one.fault, now), sight, now)
        for ref in {*self._made, *self._failed} - self._objects.known.keys():
            self._made.pop(ref, None)
            self._failed.pop(ref, None)

    def _blank(self, one: Known, why: str, now: float) -> Outlook:
        before = self._made.get(one.ref)
        if before is not None and before.outlook.fault == why and before.outlook.rollout.spec == one.claim:
            return before.outlook
        name = one.claim.served if one.claim else served_name(one)
        rollout = Rollout(name, one.claim.model if one.claim else name, one.claim, Phase.REFUSED, why, now)
        return Outlook(rollout, None, 0, 0, why, one.ref)

    def _tell(self, one: Known, outlook: Outlook, sight: RegistrySight, now: float) -> None:
        made = self._made.get(one.ref)
        if made is None or not made.holds(one, outlook, sight):
            try:
                made = self._make(one, outlook, sight, now, made)
            except Exception as error:  # one object's fault must not stop the others
                if self._failed.get(one.ref) != repr(error):  # once, and not at every step
                    log.warning("status not made", object=one.ref, why=repr(error))
                self._failed[one.ref] = repr(error)
                return
        self._failed.pop(one.ref, None)
        self._writer.want(one.ref, made.told)

    def _make(self, one: Known, outlook: Outlook, sight: RegistrySight, now: float, made: _Made | None) -> _Made:
        old = made.told if made is not None and made.uid == one.uid else one.status
        told = msgspec.to_builtins(status.status(outlook, sight, observed(one, outlook), now, _read(old)))
        new = _Made(one.uid, one.generation, outlook, sight, told)
        self._phase_note(one, made, new)
        self._made[one.ref] = new
        return new

    # --- events

    def _phase_note(self, one: Known, old: _Made | None, new: _Made) -> None:
        rollout = new.outlook.rollout
        before = old.outlook.rollout if old is not None else None
        if (before is None and one.status.get("phase") != rollout.phase.value) or (
            before is not None and before.phase is not rollout.phase
        ):
            self._recorder.note(
                one, Note(rollout.phase.value, rollout.reason, rollout.phase in (Phase.REFUSED, Phase.CONFLICT))
            )
        known = before.conditions if before is not None else {}
        for condition, why in rollout.conditions.items():
            if condition not in known:
                self._recorder.note(one, Note(condition, why, warning=True))

    def _note(self, events: Iterable[tuple[str, Event]], refs: dict[str, str]) -> None:
        for served, event in events:
            one = self._objects.known.get(refs.get(served, ""))
            if one is not None:
                reason = "".join(word.capitalize() for word in event.what.replace("-", " ").split())
                by = f" ({event.who})" if event.who else ""
                version = f"version {event.version}: " if event.version else ""
                self._recorder.note(one, Note(reason, f"{version}{event.why}{by}", event.what in WARNINGS))


def observed(one: Known, outlook: Outlook) -> int:
    """The generation that the outlook speaks of: a change which no step has seen yet is not observed."""
    seen = outlook.rollout.spec == one.claim if one.claim is not None else bool(outlook.fault)
    return one.generation if seen else int(one.status.get("observedGeneration") or 0)


def _read(old: dict[str, Any]) -> Status | None:
    """The status that is there; None where it is none that could be continued."""
    try:
        return msgspec.convert(old, Status) if old else None
    except msgspec.ValidationError:
        return None
