"""What each ServedModel is told: its status, and an event for every step. Only what differs is made anew.

A status is a function of what is known (status.py); here it is only asked for, and handed to the writer.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any

import msgspec

from fairlead_operator import status
from fairlead_operator.cluster.events import Note, Recorder
from fairlead_operator.cluster.objects import Known, Objects, refusal
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
    error: str
    old: dict[str, Any]
    told: dict[str, Any]


class Statuses:
    """Of all pools. `phases` counts them."""

    def __init__(self, config: Config, objects: Objects, writer: StatusWriter, recorder: Recorder) -> None:
        self._config = config
        self._objects = objects
        self._writer = writer
        self._recorder = recorder
        self._made: dict[str, _Made] = {}

    def phases(self) -> dict[str, float]:
        counted = collections.Counter(made.outlook.rollout.phase.value for made in self._made.values())
        return {phase.value: float(counted[phase.value]) for phase in Phase}

    def publish(self, pool: Pool, sight: RegistrySight, now: float) -> None:
        """After a step of this pool."""
        events = pool.happened()
        outlooks = pool.outlooks(now)
        for ref, outlook in outlooks.items():
            one = self._objects.known.get(ref)
            if one is not None and not refusal(one, self._config):
                self._tell(one, outlook, sight, now)
        refs = {
            outlook.rollout.served: ref
            for ref, outlook in outlooks.items()
            if outlook.rollout.phase is not Phase.CONFLICT
        }
        self._note(events, refs)

    def publish_others(self, sight: RegistrySight, now: float) -> None:
        """Objects that no pool may serve, and a tidy-up of those that are gone."""
        for one in self._objects.known.values():
            why = refusal(one, self._config)
            if why and one.claim is not None:
                before = self._made.get(one.ref)
                since = before.outlook.rollout.since if before and before.outlook.fault == why else now
                claim = one.claim
                rollout = Rollout(claim.served, claim.model, claim, Phase.REFUSED, why, since)
                self._tell(one, Outlook(rollout, None, 0, 0, why, one.ref), sight, now)
        for ref in self._made.keys() - self._objects.known.keys():
            del self._made[ref]

    def _tell(self, one: Known, outlook: Outlook, sight: RegistrySight, now: float) -> None:
        made = self._made.get(one.ref)
        if (
            made is None
            or (made.uid, made.generation, made.error) != (one.uid, one.generation, sight.error)
            or (made.outlook != outlook)
        ):
            old = made.told if made is not None and made.uid == one.uid else one.status
            told = msgspec.to_builtins(status.status(outlook, sight, one.generation, now, _read(old)))
            new = _Made(one.uid, one.generation, outlook, sight.error, old, told)
            self._phase_note(one, made, new)
            self._made[one.ref] = made = new
        self._writer.want(one.ref, made.told)

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


def _read(old: dict[str, Any]) -> Status | None:
    """The status that is there; None where it is none that could be continued."""
    try:
        return msgspec.convert(old, Status) if old else None
    except msgspec.ValidationError:
        return None
